# What cmake/demo.cmake and cmake/test.cmake share: Debian packages, the build folder, running a step.
#
#   ivado_say(<line>…)                       one line on the standard output
#   ivado_install_packages(<package>…)       installs what is missing, with apt-get
#   ivado_run(<what it is> <command>…)       runs a command and shows its output; an exit status other than 0 ends the script
#   ivado_configure(<-Dvariable=value>…)     configures the release preset in ${IVADO_BUILD_DIR}
#   ivado_build_all(<option of cmake --build>…)
#
# IVADO_BUILD_DIR, from the environment or -D, names the build folder; <source>/build/release is the default.
cmake_policy(VERSION 3.25)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH IVADO_SOURCE_DIR)
cmake_path(GET CMAKE_SCRIPT_MODE_FILE STEM IVADO_SCRIPT)
if(NOT IVADO_BUILD_DIR)
  set(IVADO_BUILD_DIR "$ENV{IVADO_BUILD_DIR}")
endif()
if(NOT IVADO_BUILD_DIR)
  set(IVADO_BUILD_DIR "${IVADO_SOURCE_DIR}/build/release")
endif()
cmake_path(ABSOLUTE_PATH IVADO_BUILD_DIR BASE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}" NORMALIZE)
string(TIMESTAMP IVADO_START "%s" UTC)

# What the library, the examples and the program need. cmake/README.md says why.
set(IVADO_PACKAGES
    g++
    ninja-build
    ccache
    libtorch-dev
    libinsighttoolkit5-dev
    libeigen3-dev
    libboost-dev
    nlohmann-json3-dev
    zlib1g-dev
    libdeflate-dev
    libpng-dev
    libtiff-dev
    libjpeg62-turbo-dev
    libgif-dev
    librsvg2-bin
    libgdcm-dev
    libdnnl-dev
    libhdf5-dev
    libonnx-dev
    libprotobuf-dev
    libopenblas0-pthread)
# What the tests need besides.
set(IVADO_TEST_PACKAGES catch2 clang-format time python3-torch protobuf-compiler python3-crc32c)

function(ivado_say)
  foreach(line IN LISTS ARGN)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${line}")
  endforeach()
endfunction()

# The seconds since the script began.
function(ivado_elapsed result)
  string(TIMESTAMP now "%s" UTC)
  math(EXPR seconds "${now} - ${IVADO_START}")
  set(${result} ${seconds} PARENT_SCOPE)
endfunction()

function(ivado_run what)
  ivado_elapsed(seconds)
  ivado_say("ivado ${IVADO_SCRIPT} [${seconds} s]: ${what}")
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${IVADO_SOURCE_DIR}" RESULT_VARIABLE status)
  if(NOT status STREQUAL "0")
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "ivado ${IVADO_SCRIPT}: ${what} ended with status ${status}. The command was:\n  ${command}")
  endif()
endfunction()

# How to become root for apt-get: nothing for root, else sudo where it works without questions or can ask at a terminal.
function(ivado_root_command result possible)
  set(${result} "" PARENT_SCOPE)
  set(${possible} TRUE PARENT_SCOPE)
  execute_process(COMMAND id -u OUTPUT_VARIABLE user OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(user STREQUAL "0")
    return()
  endif()
  find_program(SUDO sudo NO_CACHE)
  if(SUDO)
    execute_process(COMMAND "${SUDO}" -n true INPUT_FILE /dev/null RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
    if(status STREQUAL "0")
      set(${result} "${SUDO};-n" PARENT_SCOPE)
      return()
    endif()
    execute_process(COMMAND sh -c ": </dev/tty" RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
    if(status STREQUAL "0")
      set(${result} "${SUDO}" PARENT_SCOPE)
      return()
    endif()
  endif()
  set(${possible} FALSE PARENT_SCOPE)
endfunction()

function(ivado_install_packages)
  list(JOIN ARGN " " all)
  find_program(DPKG_QUERY dpkg-query NO_CACHE)
  find_program(APT_GET apt-get NO_CACHE)
  if(NOT DPKG_QUERY OR NOT APT_GET)
    ivado_say("ivado ${IVADO_SCRIPT}: this is not Debian, so nothing is installed. If the next step fails, install what these packages of"
              "Debian hold (cmake/README.md says what each is for): ${all}")
    return()
  endif()

  execute_process(COMMAND "${DPKG_QUERY}" -W -f "\${db:Status-Abbrev} \${Package}\\n" ${ARGN} OUTPUT_VARIABLE installed ERROR_QUIET)
  set(missing "")
  foreach(package IN LISTS ARGN)
    string(FIND "\n${installed}" "\nii  ${package}\n" place)
    if(place EQUAL -1)
      list(APPEND missing "${package}")
    endif()
  endforeach()
  if(NOT missing)
    ivado_say("ivado ${IVADO_SCRIPT}: all Debian packages are there: ${all}")
    return()
  endif()
  list(JOIN missing " " text)
  ivado_say("ivado ${IVADO_SCRIPT}: Debian packages missing: ${text}")

  ivado_root_command(root possible)
  if(NOT possible)
    message(FATAL_ERROR "ivado ${IVADO_SCRIPT}: installing them needs root or sudo, and this user has neither. Let somebody who has run\n"
                        "  apt-get update && apt-get install --no-install-recommends ${text}\nand start this command again.")
  endif()
  set(apt ${root} env DEBIAN_FRONTEND=noninteractive "${APT_GET}" -o DPkg::Lock::Timeout=300)
  set(install ${apt} install --yes --no-install-recommends ${missing})
  # A new machine has no lists of packages yet, and an old one may have lists of files that are gone.
  execute_process(COMMAND ${install} --simulate INPUT_FILE /dev/null RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(status STREQUAL "0")
    execute_process(COMMAND ${install} INPUT_FILE /dev/null RESULT_VARIABLE status)
  endif()
  if(NOT status STREQUAL "0")
    ivado_run("updating the lists of packages" ${apt} update)
    ivado_run("installing packages" ${install})
  endif()
endfunction()

# ONNX Runtime for the tests that run exported models, in ${IVADO_BUILD_DIR}/onnxruntime: a package of npm, whose shared library
# is in the package itself. Without network these tests are skipped.
function(ivado_install_onnxruntime)
  find_program(NPM npm NO_CACHE)
  if(NOT NPM)
    ivado_install_packages(npm)
    find_program(NPM npm NO_CACHE)
  endif()
  set(folder "${IVADO_BUILD_DIR}/onnxruntime")
  if(NOT EXISTS "${folder}/node_modules/onnxruntime-node/package.json" AND NPM)
    file(MAKE_DIRECTORY "${folder}")
    execute_process(COMMAND "${NPM}" install --prefix "${folder}" --ignore-scripts --no-audit --no-fund --no-save onnxruntime-node@1.30.0
                    INPUT_FILE /dev/null RESULT_VARIABLE status)
    if(NOT status STREQUAL "0")
      file(REMOVE_RECURSE "${folder}/node_modules")
    endif()
  endif()
  if(EXISTS "${folder}/node_modules/onnxruntime-node/package.json")
    set(ENV{IVADO_ONNXRUNTIME_NODE} "${folder}")
  else()
    ivado_say("ivado ${IVADO_SCRIPT}: npm could not install onnxruntime-node: the tests that run ONNX files are skipped")
  endif()
endfunction()

function(ivado_configure)
  # ccache keeps its files in the home; without one, beside the build.
  if(NOT DEFINED ENV{CCACHE_DIR})
    execute_process(COMMAND test -w "$ENV{HOME}/." RESULT_VARIABLE status)
    if("$ENV{HOME}" STREQUAL "" OR NOT status STREQUAL "0")
      set(ENV{CCACHE_DIR} "${IVADO_BUILD_DIR}/ccache")
    endif()
  endif()
  ivado_run("configuring in ${IVADO_BUILD_DIR}" "${CMAKE_COMMAND}" --preset release -S "${IVADO_SOURCE_DIR}" -B "${IVADO_BUILD_DIR}" ${ARGN})
endfunction()

function(ivado_build_all)
  set(jobs "$ENV{CMAKE_BUILD_PARALLEL_LEVEL}")
  if(NOT jobs)
    cmake_host_system_information(RESULT jobs QUERY NUMBER_OF_LOGICAL_CORES)
  endif()
  ivado_run("building with ${jobs} jobs" "${CMAKE_COMMAND}" --build "${IVADO_BUILD_DIR}" --parallel ${jobs} ${ARGN})
endfunction()
