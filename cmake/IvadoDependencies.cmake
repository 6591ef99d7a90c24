# What ivado stands on, for ivado's own build and for the installed package alike.
#
#   ivado_check_compiler(problem)       can the compiler do it
#   ivado_find_data_libraries(problem)  Eigen, Boost (Hana), nlohmann/json, zlib, threads, libdeflate as the target
#                                       ivado::deflate, ITK as ivado::itk, and libpng, libtiff and libjpeg as ivado::rasters
#   ivado_find_torch(problem)           LibTorch as the target ivado::torch
#   ivado_find_report(problem)          giflib
#   ivado_find_hdf5(problem)            HDF5 as the target ivado::hdf5_library
#   ivado_find_dicom(problem)           ITK's module for DICOM as the target ivado::gdcm
#   ivado_find_engine(problem)          oneDNN and its OpenMP runtime, as the target ivado::onednn
#   ivado_find_onnx(problem)            ONNX with its protobuf classes, as the target ivado::onnx_libraries
#
# Each leaves one sentence in `problem`, without a full stop, or an empty string where all is well. The library versions are
# those of Debian 12; newer ones should do.

# The modules of ITK that data/volume_io.hpp uses. All of ITK would also ask for GDCM's and HDF5's programs.
set(IVADO_ITK_COMPONENTS ITKCommon ITKIOImageBase ITKIONIFTI)

set(ivado_oldest_GNU 12)
set(ivado_oldest_Clang 14)

function(ivado_check_compiler problem)
  set(${problem} "" PARENT_SCOPE)
  set(oldest "${ivado_oldest_${CMAKE_CXX_COMPILER_ID}}")
  if(oldest AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS oldest)
    set(${problem}
        "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} is too old for C++20, version ${oldest} is the oldest that works: install a newer one and name it with -DCMAKE_CXX_COMPILER=…"
        PARENT_SCOPE)
  elseif(NOT "cxx_std_20" IN_LIST CMAKE_CXX_COMPILE_FEATURES)
    set(${problem}
        "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} does not know C++20: use GCC ${ivado_oldest_GNU} or Clang ${ivado_oldest_Clang}, or newer"
        PARENT_SCOPE)
  endif()
endfunction()

function(ivado_find_data_libraries problem)
  set(${problem} "" PARENT_SCOPE)
  set(missing "")
  find_package(Threads QUIET)
  foreach(
    library
    "Eigen3|3.4|CONFIG|Eigen3::Eigen|Eigen 3.4|libeigen3-dev"
    "Boost|1.74|CONFIG|Boost::headers|Boost 1.74 (Hana)|libboost-dev"
    "nlohmann_json|3.11|CONFIG|nlohmann_json::nlohmann_json|nlohmann/json 3.11|nlohmann-json3-dev"
    "ZLIB||MODULE|ZLIB::ZLIB|zlib|zlib1g-dev"
    "PNG|1.6|MODULE|PNG::PNG|libpng 1.6|libpng-dev"
    "TIFF|4.5|MODULE|TIFF::TIFF|libtiff 4.5|libtiff-dev"
    "JPEG||MODULE|JPEG::JPEG|libjpeg|libjpeg62-turbo-dev")
    string(REPLACE "|" ";" library "${library}")
    list(POP_FRONT library package version mode target title debian)
    if(NOT TARGET ${target})
      find_package(${package} ${version} QUIET ${mode})
    endif()
    if(NOT TARGET ${target})
      list(APPEND missing "${title} (Debian: ${debian})")
    endif()
  endforeach()
  if(NOT TARGET ivado::deflate)
    # Debian's package has no configuration for CMake.
    find_path(IVADO_DEFLATE_INCLUDE libdeflate.h)
    find_library(IVADO_DEFLATE_LIBRARY deflate)
    mark_as_advanced(IVADO_DEFLATE_INCLUDE IVADO_DEFLATE_LIBRARY)
    if(IVADO_DEFLATE_INCLUDE AND IVADO_DEFLATE_LIBRARY)
      add_library(ivado::deflate INTERFACE IMPORTED GLOBAL)
      target_include_directories(ivado::deflate SYSTEM INTERFACE "${IVADO_DEFLATE_INCLUDE}")
      target_link_libraries(ivado::deflate INTERFACE "${IVADO_DEFLATE_LIBRARY}")
    else()
      list(APPEND missing "libdeflate (Debian: libdeflate-dev)")
    endif()
  endif()
  if(missing)
    list(JOIN missing ", " missing)
    set(${problem} "not found: ${missing}" PARENT_SCOPE)
    return()
  endif()
  if(NOT TARGET ivado::rasters)
    add_library(ivado::rasters INTERFACE IMPORTED GLOBAL)
    target_link_libraries(ivado::rasters INTERFACE PNG::PNG TIFF::TIFF JPEG::JPEG)
  endif()

  if(TARGET ivado::itk)
    return()
  endif()
  if(NOT CMAKE_C_COMPILER_LOADED)
    set(${problem} "ITK's package needs the language C beside CXX: write project(… LANGUAGES C CXX)" PARENT_SCOPE)
    return()
  endif()
  # Debian's ITK prints a page about programs of GDCM that nobody needs here.
  set(CMAKE_MESSAGE_LOG_LEVEL WARNING)
  find_package(ITK 5.2 QUIET COMPONENTS ${IVADO_ITK_COMPONENTS})
  if(NOT ITK_FOUND)
    list(JOIN IVADO_ITK_COMPONENTS ", " modules)
    set(${problem}
        "ITK 5.2 with its modules ${modules} not found (Debian: libinsighttoolkit5-dev; else name its folder with -DITK_DIR=…)"
        PARENT_SCOPE)
    return()
  endif()
  add_library(ivado::itk INTERFACE IMPORTED GLOBAL)
  target_include_directories(ivado::itk SYSTEM INTERFACE ${ITK_INCLUDE_DIRS})
  # Else ITK's headers bring the Eigen 3.3 that is packed with it, whose classes have other layouts than those of 3.4.
  target_compile_definitions(ivado::itk INTERFACE ITK_USE_SYSTEM_EIGEN)
  target_link_libraries(ivado::itk INTERFACE ${ITK_LIBRARIES})
endfunction()

# libgomp, whose threads LibTorch and oneDNN compute with; loops of ours take the same ones.
function(ivado_find_gomp problem)
  set(${problem} "" PARENT_SCOPE)
  if(TARGET ivado::gomp)
    return()
  endif()
  # Beside the compiler's own libraries; Debian has the one that programs run with under another name.
  find_library(IVADO_GOMP_LIBRARY NAMES gomp libgomp.so.1 PATHS ${CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES})
  mark_as_advanced(IVADO_GOMP_LIBRARY)
  if(NOT IVADO_GOMP_LIBRARY)
    set(${problem} "libgomp, the threads of LibTorch and oneDNN, not found (Debian: libgomp1)" PARENT_SCOPE)
    return()
  endif()
  add_library(ivado::gomp INTERFACE IMPORTED GLOBAL)
  target_link_libraries(ivado::gomp INTERFACE "${IVADO_GOMP_LIBRARY}")
endfunction()

function(ivado_find_torch problem)
  set(${problem} "" PARENT_SCOPE)
  if(NOT TARGET ivado::torch)
    set(CMAKE_MESSAGE_LOG_LEVEL WARNING)
    find_package(Torch 1.13 QUIET CONFIG)
    if(NOT Torch_FOUND)
      set(${problem}
          "LibTorch 1.13 or newer not found (Debian: libtorch-dev; else name the folder of its TorchConfig.cmake with -DTorch_DIR=…)"
          PARENT_SCOPE)
      return()
    endif()
    if("${TORCH_CXX_FLAGS}" MATCHES "_GLIBCXX_USE_CXX11_ABI=0")
      set(${problem}
          "this LibTorch is built with the C++ ABI from before 2011, which ITK and the C++ library do not share: take the build named 'cxx11 ABI'"
          PARENT_SCOPE)
      return()
    endif()
    ivado_find_gomp(gomp_problem)
    if(gomp_problem)
      set(${problem} "${gomp_problem}" PARENT_SCOPE)
      return()
    endif()
    add_library(ivado::torch INTERFACE IMPORTED GLOBAL)
    target_link_libraries(ivado::torch INTERFACE torch ivado::gomp)
    ivado_warn_of_slow_blas()
  endif()
endfunction()

function(ivado_find_report problem)
  set(${problem} "" PARENT_SCOPE)
  if(NOT TARGET GIF::GIF)
    find_package(GIF 5 QUIET)
  endif()
  if(NOT TARGET GIF::GIF)
    set(${problem} "giflib not found (Debian: libgif-dev)" PARENT_SCOPE)
  endif()
endfunction()

# ITK's module for DICOM, which brings GDCM.
function(ivado_find_dicom problem)
  set(${problem} "" PARENT_SCOPE)
  if(TARGET ivado::gdcm)
    return()
  endif()
  # Debian's GDCM prints a page about programs of its own that nobody needs here.
  set(CMAKE_MESSAGE_LOG_LEVEL WARNING)
  find_package(ITK 5.2 QUIET COMPONENTS ${IVADO_ITK_COMPONENTS} ITKIOGDCM)
  if(NOT ITK_FOUND)
    set(${problem} "ITK's module ITKIOGDCM not found (Debian: libinsighttoolkit5-dev, libgdcm-dev)" PARENT_SCOPE)
    return()
  endif()
  add_library(ivado::gdcm INTERFACE IMPORTED GLOBAL)
  target_link_libraries(ivado::gdcm INTERFACE ivado::itk ITKIOGDCM)
endfunction()

# The classes of ONNX's format and its checker. LibTorch links the same shared libraries, so both can be in one program.
function(ivado_find_onnx problem)
  set(${problem} "" PARENT_SCOPE)
  if(TARGET ivado::onnx_libraries)
    return()
  endif()
  find_path(IVADO_ONNX_INCLUDE onnx/onnx_pb.h)
  find_library(IVADO_ONNX_LIBRARY onnx)
  find_library(IVADO_ONNX_PROTO_LIBRARY onnx_proto)
  find_library(IVADO_PROTOBUF_LIBRARY protobuf)
  mark_as_advanced(IVADO_ONNX_INCLUDE IVADO_ONNX_LIBRARY IVADO_ONNX_PROTO_LIBRARY IVADO_PROTOBUF_LIBRARY)
  if(NOT IVADO_ONNX_INCLUDE OR NOT IVADO_ONNX_LIBRARY OR NOT IVADO_ONNX_PROTO_LIBRARY OR NOT IVADO_PROTOBUF_LIBRARY)
    set(${problem} "ONNX with protobuf not found (Debian: libonnx-dev, libprotobuf-dev)" PARENT_SCOPE)
    return()
  endif()
  add_library(ivado::onnx_libraries INTERFACE IMPORTED GLOBAL)
  target_include_directories(ivado::onnx_libraries SYSTEM INTERFACE "${IVADO_ONNX_INCLUDE}")
  target_compile_definitions(ivado::onnx_libraries INTERFACE ONNX_NAMESPACE=onnx ONNX_ML=1)
  target_link_libraries(ivado::onnx_libraries INTERFACE "${IVADO_ONNX_LIBRARY}" "${IVADO_ONNX_PROTO_LIBRARY}" "${IVADO_PROTOBUF_LIBRARY}")
endfunction()

function(ivado_find_hdf5 problem)
  set(${problem} "" PARENT_SCOPE)
  if(TARGET ivado::hdf5_library)
    return()
  endif()
  find_package(HDF5 1.10 QUIET COMPONENTS C)
  if(NOT HDF5_FOUND)
    set(${problem} "HDF5 not found (Debian: libhdf5-dev)" PARENT_SCOPE)
    return()
  endif()
  add_library(ivado::hdf5_library INTERFACE IMPORTED GLOBAL)
  target_include_directories(ivado::hdf5_library SYSTEM INTERFACE ${HDF5_INCLUDE_DIRS})
  target_link_libraries(ivado::hdf5_library INTERFACE ${HDF5_C_LIBRARIES})
endfunction()

# oneDNN, and the threads that it computes with.
function(ivado_find_engine problem)
  set(${problem} "" PARENT_SCOPE)
  if(TARGET ivado::onednn)
    return()
  endif()
  find_path(IVADO_ONEDNN_INCLUDE oneapi/dnnl/dnnl.hpp)
  find_library(IVADO_ONEDNN_LIBRARY dnnl)
  mark_as_advanced(IVADO_ONEDNN_INCLUDE IVADO_ONEDNN_LIBRARY)
  if(NOT IVADO_ONEDNN_INCLUDE OR NOT IVADO_ONEDNN_LIBRARY)
    set(${problem} "oneDNN 2.6 or newer not found (Debian: libdnnl-dev)" PARENT_SCOPE)
    return()
  endif()
  ivado_find_gomp(gomp_problem)
  if(gomp_problem)
    set(${problem} "${gomp_problem}" PARENT_SCOPE)
    return()
  endif()
  add_library(ivado::onednn INTERFACE IMPORTED GLOBAL)
  target_include_directories(ivado::onednn SYSTEM INTERFACE "${IVADO_ONEDNN_INCLUDE}")
  target_link_libraries(ivado::onednn INTERFACE "${IVADO_ONEDNN_LIBRARY}" ivado::gomp)
endfunction()

# Debian's LibTorch multiplies matrices with whatever libblas.so.3 points to.
function(ivado_warn_of_slow_blas)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" OR CMAKE_CROSSCOMPILING)
    return()
  endif()
  find_file(IVADO_BLAS libblas.so.3 PATHS ${CMAKE_C_IMPLICIT_LINK_DIRECTORIES} NO_CACHE)
  if(IVADO_BLAS)
    file(REAL_PATH "${IVADO_BLAS}" blas)
    if(blas MATCHES "/blas/libblas\\.so\\.3")
      message(WARNING "ivado: LibTorch will multiply matrices with the reference BLAS (${blas}), 30 times slower than OpenBLAS: "
                      "install libopenblas0-pthread, or choose it with 'update-alternatives --config libblas.so.3-${CMAKE_LIBRARY_ARCHITECTURE}'")
    endif()
  endif()
endfunction()
