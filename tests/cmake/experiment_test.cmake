# Tests of cmake/IvadoExperiment.cmake: cmake -D SOURCE_DIR=… -P experiment_test.cmake
# With -D REFUSED=n it is one of the faulty configurations, run by the test itself.
cmake_minimum_required(VERSION 3.25)
include("${SOURCE_DIR}/cmake/IvadoExperiment.cmake")

function(expect what found expected)
  if(NOT found STREQUAL expected)
    message(FATAL_ERROR "${what}: found\n  ${found}\nexpected\n  ${expected}")
  endif()
endfunction()
function(expect_line source line)
  string(FIND "${source}" "${line}" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "the source has no line\n  ${line}\nbut is\n${source}")
  endif()
endfunction()

set(full [=[
{
  "comment": "brackets [ ] {, \"quotes\": ; and \\",
  "nested": [{"transformation": {"Wrong": 1}}, [{"deep": 0}]],
  "loader_parameters": {
    "target_suffix": ["_a", "_b"], "slice_axis": "sagittal", "multichannel": true,
    "contrast_params": {"training_validation": ["T1w", "T2w", "T2star"], "testing": ["T1w"], "balance": {}}
  },
  "default_model": {"name": "Unet", "depth": 4, "is_2d": true},
  "FiLMedUnet": {"applied": false, "metadata": "contrasts"},
  "training_parameters": {"loss": {"name": "DiceLoss"}},
  "transformation": {
    "Resample": {"hspace": 0.75, "CenterCrop": [1, 2], "x": {"NormalizeInstance": 1}},
    "NormalizeInstance": {"applied_to": ["im"]},
    "ElasticTransform" : {"dataset_type": ["training"]},
    "CenterCrop": {"size": [128, 128]}
  },
  "postprocessing": {"remove_small": {"thr": 3}, "binarize_prediction": {"thr": 0.5}, "keep_largest": {}}
}
]=])

# Order is that of the text, at every depth, whatever stands in between.
ivado_json_keys(keys "${full}" "")
expect("keys of the whole" "${keys}"
       "comment;nested;loader_parameters;default_model;FiLMedUnet;training_parameters;transformation;postprocessing")
ivado_json_keys(keys "${full}" transformation)
expect("keys of transformation" "${keys}" "Resample;NormalizeInstance;ElasticTransform;CenterCrop")
ivado_json_keys(keys "${full}" postprocessing)
expect("keys of postprocessing" "${keys}" "remove_small;binarize_prediction;keep_largest")
ivado_json_keys(keys "${full}" loader_parameters/contrast_params)
expect("keys of contrast_params" "${keys}" "training_validation;testing;balance")
ivado_json_keys(keys "{}" transformation)
expect("keys of nothing" "${keys}" "")
ivado_json_keys(keys [=[{"a\"b":{"z\\":1,"y":"\\"},"é":2}]=] "a\\\"b")
expect("keys with escapes" "${keys}" "z\\\\;y")

ivado_experiment_source(source my_experiment my.json "${full}")
expect_line("${source}" "BidsLoader<ivado::Slices<ivado::Axis::sagittal>, ivado::Channels<3>, ivado::Classes<2>>,")
expect_line("${source}" "Compose<ivado::Resample, ivado::NormalizeInstance, ivado::ElasticTransform, ivado::CenterCrop>,")
expect_line("${source}" "Unet<2, 4, 3, 2>,")
expect_line("${source}" "ivado::DiceLoss,")
expect_line("${source}" "PostProcess<ivado::RemoveSmall, ivado::Binarize, ivado::KeepLargest>,")
expect_line("${source}" "ivado::CosineAnnealing, ivado::Adam>;")
expect_line("${source}" "${full}") # byte for byte

ivado_experiment_source(source my_experiment my.json "${full}" ONEDNN)
expect_line("${source}" "#include <ivado/nn/onednn_backend.hpp>")
expect_line("${source}" "ivado::OneDnnBackend, ivado::CosineAnnealing, ivado::Adam>;")

# The defaults of ivadomed: axial, one channel, depth 3, DiceLoss, no step.
ivado_experiment_source(source least least.json [=[{"loader_parameters": {"target_suffix": ["_seg-manual"]}}]=])
expect_line("${source}" "BidsLoader<ivado::Slices<ivado::Axis::axial>, ivado::Channels<1>, ivado::Classes<1>>,")
expect_line("${source}" "Compose<>,")
expect_line("${source}" "Unet<2, 3, 1, 1>,")
expect_line("${source}" "PostProcess<>,")

# Each model with its loader.
function(expect_model json loader model)
  ivado_experiment_source(source one one.json "${json}")
  expect_line("${source}" "BidsLoader<ivado::Slices<ivado::Axis::axial>, ${loader}>,")
  expect_line("${source}" "    ivado::${model},")
endfunction()
set(contrasts "\"contrast_params\": {\"training_validation\": [\"T1w\", \"T2w\"]}")
expect_model("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"FiLMedUnet\": {\"applied\": true}}"
             "ivado::Channels<1>, ivado::Classes<1>, ivado::Metadata" "FiLMedUnet<2, 3, 1, 1>")
expect_model("{\"loader_parameters\": {\"target_suffix\": [\"_a\"], ${contrasts}}, \"HeMISUnet\": {\"applied\": true}}"
             "ivado::Channels<2>, ivado::Classes<1>, ivado::MissingContrasts" "HeMISUnet<2, 3, 2, 1>")
expect_model("{\"loader_parameters\": {\"target_suffix\": [\"_a\", \"_b\"]}, \"default_model\": {\"name\": \"ResidualUnet\"}}"
             "ivado::Channels<1>, ivado::Classes<2>" "ResidualUnet<2, 1, 2>")
expect_model("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"Countception\": {\"applied\": true}}"
             "ivado::Channels<1>, ivado::Classes<1>" "Countception<1, 1>")
expect_model("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"default_model\": {\"name\": \"resnet50\"}}"
             "ivado::Channels<1>, ivado::Classes<1>" "ResNet<50, 1, 1>")
expect_model("{\"loader_parameters\": {\"label_column\": \"sex\", \"label_values\": [\"F\", \"M\"]}, \"densenet121\": {\"applied\": true}}"
             "ivado::Channels<1>, ivado::Classes<2>" "DenseNet<121, 1, 2>")
# The models of volumes, each with sub-volumes of the lengths that its section gives, or of any.
function(expect_volumes json slicing options model)
  ivado_experiment_source(source one one.json "${json}")
  expect_line("${source}" "Pipeline<\n    ivado::BidsLoader<ivado::${slicing}, ${options}>,")
  expect_line("${source}" "    ivado::${model},")
endfunction()
expect_volumes("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"Modified3DUNet\": {\"applied\": true, \"length_3D\": [128, 128, 16]}}"
               "Subvolumes<128, 128, 16>" "ivado::Channels<1>, ivado::Classes<1>" "Modified3DUNet<1, 1>")
expect_volumes("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"UNet3D\": {\"applied\": true}}"
               "AnySubvolumes" "ivado::Channels<1>, ivado::Classes<1>" "UNet3D<1, 1>")
expect_volumes("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"Modified3DUNet\": {\"applied\": true}, \"FiLMedUnet\": {\"applied\": true}}"
               "AnySubvolumes" "ivado::Channels<1>, ivado::Classes<1>, ivado::Metadata" "Modified3DUNet<1, 1>")
expect_volumes("{\"loader_parameters\": {\"target_suffix\": [\"_a\", \"_b\"]}, \"default_model\": {\"is_2d\": false, \"depth\": 2, \"length_3D\": [ 32,48\n,8]}}"
               "Subvolumes<32, 48, 8>" "ivado::Channels<1>, ivado::Classes<2>" "Unet<3, 2, 1, 2>")
expect_volumes("{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"default_model\": {\"name\": \"ResidualUnet\", \"is_2d\": false, \"length_3D\": []}}"
               "AnySubvolumes" "ivado::Channels<1>, ivado::Classes<1>" "ResidualUnet<3, 1, 1>")
expect_volumes("{\"loader_parameters\": {\"target_suffix\": [\"_a\"], ${contrasts}}, \"HeMISUnet\": {\"applied\": true, \"is_2d\": false, \"depth\": 4}}"
               "AnySubvolumes" "ivado::Channels<2>, ivado::Classes<1>, ivado::MissingContrasts" "HeMISUnet<3, 4, 2, 1>")

# Packed data.
ivado_experiment_source(source one one.json "{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}}" HDF5)
expect_line("${source}" "#include <ivado/data/hdf5_loader.hpp>\n#include <ivado/ivado.hpp>\n")
expect_line("${source}" "Pipeline<\n    ivado::Hdf5Loader<ivado::Slices<ivado::Axis::axial>, ivado::Channels<1>, ivado::Classes<1>>,")

# A cascade crops behind Resample, else first, unless the chain says where; its detector is of slices or volumes as it is itself, or as
# DETECTOR says. Without a detector there is neither.
function(expect_cascade params transformation model detector transforms)
  ivado_experiment_source(source one one.json
    "{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"object_detection_params\": {${params}}, \"transformation\": {${transformation}}${model}}"
    ${ARGN})
  expect_line("${source}" "    ivado::Compose<${transforms}>,\n")
  expect_line("${source}" "    ivado::PostProcess<>,\n    ${detector}ivado::CosineAnnealing, ivado::Adam>;")
  string(FIND "${source}" "#include <ivado/infer/any_detector.hpp>\n" include)
  set(has_header ON)
  if(include EQUAL -1)
    set(has_header OFF)
  endif()
  set(has_detector ON)
  if(detector STREQUAL "")
    set(has_detector OFF)
  endif()
  expect("header of the detector" "${has_header}" "${has_detector}")
endfunction()
set(finder "\"object_detection_path\": \"finder\"")
expect_cascade("${finder}" "\"Resample\": {}, \"NormalizeInstance\": {}" "" "ivado::AnyDetector<2>, "
               "ivado::Resample, ivado::BoundingBoxCrop, ivado::NormalizeInstance")
expect_cascade("${finder}" "\"NormalizeInstance\": {}" "" "ivado::AnyDetector<3>, " "ivado::BoundingBoxCrop, ivado::NormalizeInstance"
               DETECTOR 3)
expect_cascade("${finder}" "" ", \"default_model\": {\"is_2d\": false}" "ivado::AnyDetector<3>, " "ivado::BoundingBoxCrop")
expect_cascade("${finder}" "\"Resample\": {}, \"CenterCrop\": {}, \"BoundingBoxCrop\": {}" "" "ivado::AnyDetector<2>, "
               "ivado::Resample, ivado::CenterCrop, ivado::BoundingBoxCrop")
expect_cascade("\"object_detection_path\": null" "\"Resample\": {}" "" "" "ivado::Resample")
expect_cascade("" "\"Resample\": {}" "" "" "ivado::Resample")

ivado_experiment_source(source one one.json
  "{\"loader_parameters\": {\"target_suffix\": [\"_a\"]}, \"training_parameters\": {\"scheduler\": {\"lr_scheduler\": {\"name\": \"CyclicLR\"}}}}")
expect_line("${source}" "ivado::Cyclic, ivado::Adam>;")

# Every name of the lists is a class with a header of its own.
macro(expect_headers room)
  foreach(class ${ARGN})
    string(REGEX REPLACE "([a-z])([A-Z])" "\\1_\\2" header "${class}")
    string(REPLACE "ROICrop" "roi_Crop" header "${header}")
    string(REPLACE "DilateGT" "Dilate_GT" header "${header}")
    string(TOLOWER "${header}" header)
    string(REPLACE "max_pooling" "maxpooling" header "${header}") # one word in ivadomed
    string(REPLACE "fi_lmed_unet" "filmed_unet" header "${header}") # FiLM and HeMIS are one word each
    string(REPLACE "he_misunet" "hemis_unet" header "${header}")
    string(REPLACE "modified3dunet" "modified_3d_unet" header "${header}")
    string(REPLACE "res_net" "resnet" header "${header}")
    string(REPLACE "dense_net" "densenet" header "${header}")
    file(READ "${SOURCE_DIR}/include/ivado/${room}/${header}.hpp" text)
    if(NOT text MATCHES "(class|struct) ${class}[ ;]")
      message(FATAL_ERROR "${room}/${header}.hpp does not define ${class}")
    endif()
  endforeach()
endmacro()

# Each of these is refused with a message that has the words.
set(with_label "\"loader_parameters\": {\"target_suffix\": [\"_seg\"]}")
set(refused_1 "{${with_label}, \"transformation\": {\"Resample\": {}, \"CentreCrop\": {}}}")
set(words_1 "transformation.CentreCrop.*CenterCrop.*leave it out")
set(refused_2 "{${with_label}, \"postprocessing\": {\"threshold_uncertainty\": {}}}")
set(words_2 "postprocessing.threshold_uncertainty.*keep_largest")
set(refused_3 "{${with_label}, \"training_parameters\": {\"loss\": {\"name\": \"WingLoss\"}}}")
set(words_3 "training_parameters.loss.name.*WingLoss.*DiceLoss")
set(refused_4 "{${with_label}, \"Modified3DUNet\": {\"applied\": true, \"length_3D\": [32, 32]}}")
set(words_4 "length_3D.*32, 32.*three whole numbers")
set(refused_5 "{${with_label}, \"default_model\": {\"is_2d\": false}, \"Countception\": {\"applied\": true}}")
set(words_5 "Countception.applied.*works on slices.*is_2d is false.*true.*Modified3DUNet")
set(refused_6 "{\"loader_parameters\": {\"target_suffix\": []}}")
set(words_6 "loader_parameters.target_suffix.*one suffix")
set(refused_7 "{${with_label}, \"transformation\": []}")
set(words_7 "transformation is of type array.*object")
set(refused_8 "{${with_label}, \"transformation\": {\"Resample\": {}, \"Resample\": {}}}")
set(words_8 "Resample. stands twice")
set(refused_9 "{\"loader_parameters\": {\"target_suffix\": [\"_seg\"], \"slice_axis\": \"transverse\"}}")
set(words_9 "loader_parameters.slice_axis.*transverse.*axial")
set(refused_10 "{${with_label}, \"default_model\": {\"depth\": 2.5}}")
set(words_10 "default_model.depth.*2.5.*whole number")
set(refused_11 "{${with_label}, ")
set(words_11 "not a JSON object")
set(refused_12 "{\"loader_parameters\": {\"target_suffix\": [\"_seg\"], \"multichannel\": true}}")
set(words_12 "training_validation.*channel")
set(refused_13 "{${with_label}, \"default_model\": {\"name\": \"Unett\"}}")
set(words_13 "default_model.name.*Unett.*Unet")
if(DEFINED REFUSED)
  ivado_experiment_source(source refused refused.json "${refused_${REFUSED}}")
  return()
endif()
foreach(number RANGE 1 13)
  execute_process(COMMAND "${CMAKE_COMMAND}" -D "SOURCE_DIR=${SOURCE_DIR}" -D REFUSED=${number} -P "${CMAKE_CURRENT_LIST_FILE}"
                  RESULT_VARIABLE status ERROR_VARIABLE message)
  string(REGEX REPLACE "[ \n]+" " " message "${message}")
  if(status EQUAL 0 OR NOT message MATCHES "${words_${number}}")
    message(FATAL_ERROR "configuration ${number} must be refused with '${words_${number}}' but gave status ${status} and '${message}'")
  endif()
endforeach()

ivado_experiment_parts()
expect_headers(transform ${ivado_transforms})
expect_headers(loss ${ivado_losses})
expect_headers(model ${ivado_models} ${ivado_slice_models} ResNet DenseNet Modified3DUNet)
file(READ "${SOURCE_DIR}/include/ivado/model/modified_3d_unet.hpp" text)
foreach(class IN LISTS ivado_volume_models) # the other is its old name
  if(NOT text MATCHES "(class|using) ${class} ")
    message(FATAL_ERROR "model/modified_3d_unet.hpp does not define ${class}")
  endif()
endforeach()
expect_headers(postprocess ${ivado_steps})
message("the generator of experiments works")
