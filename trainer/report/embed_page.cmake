# Joins the page of a report and writes it as C++: the two halves around the data.
#
#   cmake -D PAGE=FOLDER -D UPLOT=FOLDER -D SCRIPTS=a.js,b.js -D OUTPUT=FILE -P embed_page.cmake

file(READ ${PAGE}/report.html html)
file(READ ${PAGE}/report.css css)
file(READ ${UPLOT}/uPlot.min.css uplot_css)
file(READ ${UPLOT}/uPlot.iife.min.js uplot_js)
file(READ ${UPLOT}/LICENSE uplot_licence)
string(REPLACE "," ";" scripts "${SCRIPTS}")
set(js "")
foreach(script IN LISTS scripts)
  file(READ ${PAGE}/${script} text)
  string(APPEND js "${text}")
endforeach()
foreach(part js css uplot_js uplot_css uplot_licence)
  string(FIND "${${part}}" "</" place)
  if(NOT place EQUAL -1)
    message(FATAL_ERROR "${part} holds \"</\", which could end its element")
  endif()
endforeach()

string(REPLACE "@UPLOT_LICENCE@" "${uplot_licence}" html "${html}")
string(REPLACE "@UPLOT_CSS@" "${uplot_css}" html "${html}")
string(REPLACE "@UPLOT_JS@" "${uplot_js}" html "${html}")
string(REPLACE "@REPORT_CSS@" "${css}" html "${html}")
string(REPLACE "@REPORT_JS@" "${js}" html "${html}")
set(mark "@REPORT_DATA@")
string(FIND "${html}" "${mark}" place)
string(LENGTH "${mark}" length)
string(SUBSTRING "${html}" 0 ${place} before)
math(EXPR place "${place} + ${length}")
string(SUBSTRING "${html}" ${place} -1 after)

set(fence "~cddp~")
file(WRITE ${OUTPUT} "// Made by embed_page.cmake.\n#include \"trainer/report/page.h\"\n\n"
  "namespace cddp {\n\n"
  "const char* const kPageBeforeData = R\"${fence}(${before})${fence}\";\n\n"
  "const char* const kPageAfterData = R\"${fence}(${after})${fence}\";\n\n"
  "}  // namespace cddp\n")
