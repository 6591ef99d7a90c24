# All tests, on Debian 12, as root or with sudo:
#
#   cmake -P cmake/test.cmake
#
# Installs the Debian packages that are missing and npm's onnxruntime-node in the build folder, builds everything with warnings as errors, prints what the compilations cost, and
# runs the tests through CTest. IVADO_BUILD_DIR names another build folder than build/release.
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")

ivado_install_packages(${IVADO_PACKAGES} ${IVADO_TEST_PACKAGES})
if(NOT DEFINED ENV{IVADO_ONNXRUNTIME_NODE})
  ivado_install_onnxruntime()
endif()
ivado_configure(-DIVADO_BUILD_EXAMPLES=ON -DIVADO_BUILD_TESTS=ON -DIVADO_BUILD_BENCH=ON -DIVADO_WARNINGS_AS_ERRORS=ON
                -DIVADO_UNITY=ON -DIVADO_MEASURE_COMPILES=ON)
file(REMOVE "${IVADO_BUILD_DIR}/compile_log.csv")
ivado_build_all()
include("${CMAKE_CURRENT_LIST_DIR}/compile_report.cmake")
ivado_compile_report("${IVADO_BUILD_DIR}/compile_log.csv")
cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
cmake_path(GET CMAKE_COMMAND PARENT_PATH bin)
ivado_run("testing" "${bin}/ctest" --test-dir "${IVADO_BUILD_DIR}" --parallel ${cores} --output-on-failure --no-tests=error)
