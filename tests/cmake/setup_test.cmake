# Tests of cmake/setup.cmake and its parts, with programs of our own in place of Debian's:
#   cmake -D SOURCE_DIR=… -D WORK_DIR=… -P setup_test.cmake
# With -D STEP=packages it is the script under test, which the test runs itself.
cmake_minimum_required(VERSION 3.25)
if(STEP STREQUAL "packages")
  include("${SOURCE_DIR}/cmake/setup.cmake")
  ivado_install_packages(here other-here missing-one missing-two)
  return()
endif()

# A program of our own: writes its arguments to a log, then does what the text says.
function(make_program name text)
  set(path "${WORK_DIR}/bin/${name}")
  file(WRITE "${path}" "#!/bin/sh\necho \"${name} $*\" >>\"${WORK_DIR}/log\"\n${text}\n")
  file(CHMOD "${path}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
endfunction()

# Runs the script and compares: its exit status, words of what it prints, and what it called beside dpkg-query.
function(expect what status words calls)
  file(WRITE "${WORK_DIR}/log" "")
  find_program(SETSID setsid NO_CACHE) # no terminal, where sudo could ask
  execute_process(
    COMMAND "${SETSID}" --wait "${CMAKE_COMMAND}" -E env "PATH=${path}" "${CMAKE_COMMAND}" -D "SOURCE_DIR=${SOURCE_DIR}" -D STEP=packages -P
            "${CMAKE_CURRENT_FUNCTION_LIST_FILE}"
    RESULT_VARIABLE found_status
    OUTPUT_VARIABLE output
    ERROR_VARIABLE output)
  file(STRINGS "${WORK_DIR}/log" log REGEX "^(apt-get|sudo)")
  string(REGEX REPLACE "[ \n]+" " " output "${output}")
  if(NOT found_status EQUAL status OR NOT output MATCHES "${words}" OR NOT log STREQUAL calls)
    message(FATAL_ERROR "${what}: status ${found_status}, output\n  ${output}\ncalls\n  ${log}\nexpected status ${status}, "
                        "words '${words}', calls\n  ${calls}")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK_DIR}")
set(path "${WORK_DIR}/bin:$ENV{PATH}")
set(two_here "echo 'ii  here\nii  other-here\nrc  missing-two'; exit 1")
set(apt "apt-get -o DPkg::Lock::Timeout=300")
set(install "install --yes --no-install-recommends missing-one missing-two")

make_program(id "echo 0")
make_program(apt-get "")
make_program(dpkg-query "echo 'ii  here\nii  other-here\nii  missing-one\nii  missing-two'")
expect("nothing missing" 0 "all Debian packages are there" "")

make_program(dpkg-query "${two_here}")
expect("two missing" 0 "packages missing: missing-one missing-two" "${apt} ${install} --simulate;${apt} ${install}")

# Without lists nothing can be installed until they are there.
make_program(apt-get "case \"$*\" in *update) touch '${WORK_DIR}/lists';; esac; test -e '${WORK_DIR}/lists'")
expect("no lists" 0 "updating the lists" "${apt} ${install} --simulate;${apt} update;${apt} ${install}")

# Old lists: the simulation works, the download does not.
file(REMOVE "${WORK_DIR}/lists")
make_program(apt-get "case \"$*\" in *--simulate) exit 0;; *update) touch '${WORK_DIR}/lists';; esac; test -e '${WORK_DIR}/lists'")
expect("old lists" 0 "updating the lists" "${apt} ${install} --simulate;${apt} ${install};${apt} update;${apt} ${install}")

make_program(apt-get "exit 100")
expect("no network" 1 "updating the lists of packages ended with status 100" "${apt} ${install} --simulate;${apt} update")

make_program(id "echo 1000")
make_program(apt-get "")
make_program(sudo "shift; exec \"$@\"")
string(CONCAT sudo_calls "sudo -n true;sudo -n env DEBIAN_FRONTEND=noninteractive ${WORK_DIR}/bin/${apt} ${install} --simulate;"
              "${apt} ${install} --simulate;sudo -n env DEBIAN_FRONTEND=noninteractive ${WORK_DIR}/bin/${apt} ${install};${apt} ${install}")
expect("sudo" 0 "packages missing" "${sudo_calls}")

make_program(sudo "exit 1")
expect("neither root nor sudo" 1 "needs root or sudo.*apt-get install --no-install-recommends missing-one missing-two" "sudo -n true")

file(REMOVE_RECURSE "${WORK_DIR}/bin")
set(path "${WORK_DIR}/bin")
expect("not Debian" 0 "not Debian.*here other-here missing-one missing-two" "")

# The mean of columns of a table.
include("${SOURCE_DIR}/cmake/csv_mean.cmake")
foreach(pair "1|1000000" "0.8125|812500" "0.91234567|912345" "9.1e-05|91" "12.5e-01|1250000" "0|0" "00.5|500000" "nan|" "|" "x|" "1e400|")
  string(REGEX MATCH "^([^|]*)\\|(.*)$" pair "${pair}")
  set(expected "${CMAKE_MATCH_2}")
  ivado_millionths(found "${CMAKE_MATCH_1}")
  if(NOT found STREQUAL expected)
    message(FATAL_ERROR "millionths of ${pair}: found '${found}', expected '${expected}'")
  endif()
endforeach()
set(table "${WORK_DIR}/table.csv")
file(WRITE "${table}" "image_id,vol_class0,dice_class0,dice_class1\na,5,0.5,1\nb,,nan,\nc,7,0.25,0.75\n")
ivado_csv_mean("${table}" "^dice_class" mean rows)
if(NOT "${mean} ${rows}" STREQUAL "0.6250 2")
  message(FATAL_ERROR "mean of the table: found '${mean} ${rows}', expected '0.6250 2'")
endif()
ivado_csv_mean("${table}" "^dice_class0" mean rows)
if(NOT "${mean} ${rows}" STREQUAL "0.3750 2")
  message(FATAL_ERROR "mean of one column: found '${mean} ${rows}', expected '0.3750 2'")
endif()
ivado_csv_mean("${WORK_DIR}/none.csv" "^dice" mean rows)
if(NOT "${mean} ${rows}" STREQUAL "nan 0")
  message(FATAL_ERROR "mean of no table: found '${mean} ${rows}', expected 'nan 0'")
endif()

# What the compiler launcher logs, and the table made of it.
set(launcher sh "${SOURCE_DIR}/cmake/measure_compile.sh" "${WORK_DIR}/log.csv")
execute_process(COMMAND ${launcher} sh -c "exit 7" x -o x.o -c x.cpp RESULT_VARIABLE status)
if(NOT status EQUAL 7)
  message(FATAL_ERROR "the launcher ended with ${status}, the compiler with 7")
endif()
if(EXISTS /usr/bin/time)
  file(READ "${WORK_DIR}/log.csv" log)
  if(NOT log MATCHES "^x\\.o,[0-9]+\\.[0-9][0-9],[0-9]+\\.[0-9][0-9],[0-9]+\n$")
    message(FATAL_ERROR "the launcher logged '${log}'")
  endif()
endif()
include("${SOURCE_DIR}/cmake/compile_report.cmake")
function(ivado_say)
  foreach(line IN LISTS ARGN)
    set_property(GLOBAL APPEND_STRING PROPERTY said "${line}\n")
  endforeach()
endfunction()
file(WRITE "${WORK_DIR}/log.csv" "CMakeFiles/small.dir/a.cpp.o,0.30,0.10,2048\ntests/CMakeFiles/heavy.dir/nn/b.cpp.o,12.00,0.34,1048576\n"
                                 "tests/CMakeFiles/heavy.dir/nn/c.cpp.o,0.08,0.00,1024\nCMakeFiles/heavy.dir/cmake_pch.hxx.gch,4.90,0.10,1536\nprogram,3.00,1.00,1\n")
ivado_compile_report("${WORK_DIR}/log.csv")
get_property(said GLOBAL PROPERTY said)
string(CONCAT expected "what was compiled, in seconds of one core and MiB (17.8 s in all)\n"
              "  target                       sources   seconds  peak MiB   slowest  source\n"
              "  heavy                              3      17.4      1024      12.3  b.cpp\n"
              "  small                              1       0.4         2       0.4  a.cpp\n")
if(NOT said STREQUAL expected)
  message(FATAL_ERROR "the report is\n${said}expected\n${expected}")
endif()
message("the set-up scripts work")
