# cmake -DSOURCE=FOLDER -DHEADER=FILE -P CddpRevision.cmake
# Writes a header that says which revision the sources are of, unless it says so already.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty
  OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(revision unknown)
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#define CDDP_REVISION \"${revision}\"\n" @ONLY)
