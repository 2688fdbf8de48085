# cmake -DSOURCE=FOLDER -DHEADER=FILE -P CddpRevision.cmake
# Writes a header that says which revision the sources are of, unless it says so already.
set(revision unknown)
if(EXISTS ${SOURCE}/.git)  # not that of a repository around it
  execute_process(COMMAND git -C ${SOURCE} describe --always --dirty
    OUTPUT_VARIABLE said OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(revision ${said})
  endif()
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define CDDP_REVISION \"${revision}\"\n" @ONLY)
