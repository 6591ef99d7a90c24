# From nothing to evaluated masks, on Debian 12, as root or with sudo:
#
#   cmake -P cmake/demo.cmake
#
# Installs the Debian packages that are missing, builds the program, makes a small data set with known truth, trains on it, tests,
# and says which Dice it reached and which files to look at. IVADO_BUILD_DIR names another build folder than build/release.
cmake_minimum_required(VERSION 3.25)
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/csv_mean.cmake")

ivado_install_packages(${IVADO_PACKAGES})
ivado_configure(-DIVADO_BUILD_EXAMPLES=ON -DIVADO_BUILD_TESTS=OFF -DIVADO_BUILD_BENCH=OFF)
ivado_build_all(--target ivado_program)

set(program "${IVADO_BUILD_DIR}/bin/ivado")
set(config "${IVADO_SOURCE_DIR}/examples/demo.json")
set(demo "${IVADO_BUILD_DIR}/demo")
set(data "${demo}/data")
set(results "${demo}/results")
file(REMOVE_RECURSE "${demo}")
file(MAKE_DIRECTORY "${demo}")
ivado_run("making a data set of 12 subjects in ${data}" "${program}" phantom "${data}" --subjects 12)
ivado_run("training" "${program}" -c "${config}" --train -pd "${data}" -po "${results}")
ivado_run("testing" "${program}" -c "${config}" --test -pd "${data}" -po "${results}")

# What came out, from the files themselves.
set(table "${results}/results_eval/evaluation_3Dmetrics.csv")
ivado_csv_mean("${table}" "^dice_class" dice rows)
file(GLOB_RECURSE predictions "${results}/pred_masks/*_pred.nii.gz")
if(rows EQUAL 0 OR NOT predictions)
  message(FATAL_ERROR "ivado demo: the program ended well but left no prediction in ${results}/pred_masks or no Dice in ${table}")
endif()
set(picture "${results}/prediction.png")
set(panels "")
list(SUBLIST predictions 0 3 drawn)
foreach(prediction IN LISTS drawn)
  cmake_path(GET prediction FILENAME name)
  string(REGEX REPLACE "_pred\\.nii\\.gz$" "" name "${name}")
  file(GLOB_RECURSE image "${data}/sub-*/${name}.nii.gz")
  file(GLOB_RECURSE truth "${data}/derivatives/${name}_seg-manual.nii.gz")
  list(APPEND panels --image "${image}" --prediction "${prediction}" --truth "${truth}")
endforeach()
ivado_run("drawing predictions over their images" "${program}" overlay "${picture}" ${panels})

list(GET predictions 0 prediction)
ivado_elapsed(seconds)
ivado_say(
  ""
  "ivado demo: done in ${seconds} s"
  "  Dice on the test subjects: ${dice} (mean of ${rows} volumes, of 1 at best)"
  "  look at"
  "    ${table}"
  "      Dice and the other metrics, volume by volume"
  "    ${prediction}"
  "      a prediction, on the grid of its image"
  "    ${picture}"
  "      predictions and truth over their images")
