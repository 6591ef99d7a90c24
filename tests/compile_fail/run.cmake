# Compiles a file as compile_commands.json says and expects it to fail with the sentence that the file names, as the first error:
#   cmake -D FILE=… -D BUILD_DIR=… -D STOP=<flag that ends the compilation with the first error> -P run.cmake
file(READ "${FILE}" source)
if(NOT source MATCHES "// expect: ([^\n]+(\n// [^\n]+)*)") # a long sentence goes on in the comment lines that follow
  message(FATAL_ERROR "${FILE} has no line '// expect: <sentence>'")
endif()
string(REPLACE "\n// " " " sentence "${CMAKE_MATCH_1}")

file(READ "${BUILD_DIR}/compile_commands.json" commands)
string(FIND "${commands}" "\"file\": \"${FILE}\"" end)
if(end EQUAL -1)
  message(FATAL_ERROR "compile_commands.json does not name ${FILE}")
endif()
string(SUBSTRING "${commands}" 0 ${end} commands)
string(FIND "${commands}" "\"command\": " begin REVERSE)
string(SUBSTRING "${commands}" ${begin} -1 command)
string(STRIP "${command}" command)
string(REGEX REPLACE ",$" "" command "${command}")
string(JSON command GET "{${command}}" command)
string(REGEX REPLACE " -o [^ ]+ -c " " -fsyntax-only ${STOP} " command "${command}")

execute_process(COMMAND "${CMAKE_COMMAND}" -E env LC_ALL=C sh -c "${command}" WORKING_DIRECTORY "${BUILD_DIR}" RESULT_VARIABLE status
                OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status EQUAL 0)
  message(FATAL_ERROR "${FILE} compiles; it must not, with the sentence\n  ${sentence}")
endif()
string(FIND "${output}" "${sentence}" found)
if(found EQUAL -1)
  string(SUBSTRING "${output}" 0 4000 output)
  message(FATAL_ERROR "the compiler does not print the sentence\n  ${sentence}\nbut\n${output}")
endif()
message("refused with: ${sentence}")
