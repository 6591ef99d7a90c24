# How ivado's own targets are built: tests, examples, benchmarks. Nothing here reaches a user of the library.
#
#   ivado_build(<target> [DATA] [HEADERS] [ALONE])
#                                 warnings, compiler cache, and ivado::ivado with its precompiled header; with DATA it links
#                                 ivado::data alone and has no precompiled header of its own. Both get the optional
#                                 components that are there; and, with IVADO_COMPILED, ivado::compiled or ivado::compiled_data, but
#                                 for HEADERS, which are compiled from the headers alone. ALONE goes without the components.
#   ivado_unite(<result> <size> <file>…)  with IVADO_UNITY, sources that hold up to <size> of the files each: the library's functions
#                                 are compiled once a source and not once a file. Without it, the files themselves.
include("${CMAKE_CURRENT_LIST_DIR}/IvadoScan.cmake")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# A source that includes LibTorch takes over 1 GB: no more than a few at once.
set_property(GLOBAL APPEND PROPERTY JOB_POOLS "torch=${IVADO_TORCH_JOBS}")

set(ivado_launcher "")
if(IVADO_MEASURE_COMPILES)
  list(APPEND ivado_launcher sh "${CMAKE_CURRENT_LIST_DIR}/measure_compile.sh" "${CMAKE_BINARY_DIR}/compile_log.csv")
endif()
if(IVADO_CCACHE)
  find_program(IVADO_CCACHE_PROGRAM ccache)
  if(IVADO_CCACHE_PROGRAM)
    # What the precompiled header brings is known by its digest, and its own macros are not looked at.
    list(APPEND ivado_launcher "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${IVADO_CCACHE_PROGRAM}")
  endif()
endif()

# GCC 12 sees impossible sizes in std::string where it optimises hard, such as in "text" + std::to_string(1) (GCC's bugs 105329 and
# 105651). The preset dev keeps these warnings.
set(ivado_gcc_12_is_wrong -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)

function(ivado_build target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "DATA;HEADERS;ALONE" "" "")
  if(ivado_launcher)
    set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "${ivado_launcher}")
  endif()
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(
    ${target}
    PRIVATE "$<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow>"
            # Not -O3: it takes longer to compile, and is no faster here with loops vectorised as below.
            "$<$<AND:$<CONFIG:Release>,$<CXX_COMPILER_ID:GNU>>:-O2;-fvect-cost-model=dynamic>"
            "$<$<AND:$<CONFIG:Release>,$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:${ivado_gcc_12_is_wrong}>"
            "$<$<AND:$<BOOL:${IVADO_WARNINGS_AS_ERRORS}>,$<CXX_COMPILER_ID:GNU,Clang,AppleClang>>:-Werror>"
            "$<$<AND:$<BOOL:${IVADO_PCH}>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess;-Winvalid-pch>")
  target_compile_definitions(${target} PRIVATE "IVADO_SOURCE_DIR=\"${ivado_SOURCE_DIR}\"")
  foreach(component IN LISTS IVADO_COMPONENTS)
    if(TARGET ivado::${component} AND NOT arg_ALONE)
      target_link_libraries(${target} PRIVATE ivado::${component})
    endif()
  endforeach()
  set(library ivado::ivado)
  if(arg_DATA)
    set(library ivado::data)
  endif()
  if(IVADO_COMPILED AND NOT arg_HEADERS)
    string(REPLACE "ivado::ivado" "ivado::compiled" library "${library}")
    string(REPLACE "ivado::data" "ivado::compiled_data" library "${library}")
  endif()
  target_link_libraries(${target} PRIVATE ${library})
  if(NOT arg_DATA)
    set_target_properties(${target} PROPERTIES JOB_POOL_COMPILE torch JOB_POOL_PRECOMPILE_HEADER torch)
    if(IVADO_PCH AND NOT target STREQUAL "ivado_torch_pch")
      target_precompile_headers(${target} REUSE_FROM ivado_torch_pch)
    endif()
  endif()
endfunction()

# The precompiled header that all targets with LibTorch share. It holds third parties' headers alone, so it is compiled once.
if(IVADO_PCH AND IVADO_TORCH)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/pch/ivado_torch_pch.cpp" CONTENT "// The owner of the precompiled header.\n")
  add_library(ivado_torch_pch OBJECT "${CMAKE_BINARY_DIR}/pch/ivado_torch_pch.cpp")
  ivado_build(ivado_torch_pch HEADERS)
  target_precompile_headers(ivado_torch_pch PRIVATE <torch/torch.h> <nlohmann/json.hpp>)
endif()

get_property(kinds GLOBAL PROPERTY ivado_compiled_kinds)
foreach(kind IN LISTS kinds)
  if(kind MATCHES "torch")
    ivado_build(ivado_compiled_${kind} HEADERS) # compiled as the precompiled header is; no shared library here has this
    set_target_properties(ivado_compiled_${kind} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  else()
    ivado_build(ivado_compiled_${kind} DATA HEADERS ALONE)
  endif()
endforeach()

# Each file stands in a namespace of its own, after the includes of all, so names of one do not meet names of another. A file that
# opens a named namespace, specialises a template or replaces an operator cannot stand there and stays by itself.
function(ivado_unite result size)
  if(NOT IVADO_UNITY)
    set(${result} "${ARGN}" PARENT_SCOPE)
    return()
  endif()
  set(sources "")
  set(united "")
  foreach(file IN LISTS ARGN)
    file(STRINGS "${file}" own REGEX "^(namespace [a-z_:]+ {|template *<>|extern|int main|void\\* operator)" LIMIT_COUNT 1)
    if(own)
      list(APPEND sources "${file}")
    else()
      list(APPEND united "${file}")
    endif()
  endforeach()
  list(LENGTH united rest)
  math(EXPR parts "(${rest} + ${size} - 1) / ${size}")
  while(united)
    math(EXPR count "(${rest} + ${parts} - 1) / ${parts}") # parts of about one size
    list(SUBLIST united 0 ${count} files)
    list(REMOVE_ITEM united ${files})
    list(LENGTH united rest)
    math(EXPR parts "${parts} - 1")
    set(includes "")
    set(bodies "")
    foreach(file IN LISTS files)
      cmake_path(GET file PARENT_PATH folder)
      cmake_path(GET file STEM stem)
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
      file(STRINGS "${file}" lines REGEX "^#include ")
      foreach(line IN LISTS lines)
        string(REGEX REPLACE "^#include \"([^\"]+)\".*" "${folder}/\\1" beside "${line}")
        if(EXISTS "${beside}")
          cmake_path(NORMAL_PATH beside)
          set(line "#include \"${beside}\"")
        endif()
        list(APPEND includes "${line}\n")
      endforeach()
      string(APPEND bodies "namespace ${stem}_file {\n#include \"${file}\"\n}\n")
    endforeach()
    list(REMOVE_DUPLICATES includes)
    list(JOIN includes "" includes)
    list(GET files 0 first)
    cmake_path(GET first STEM stem)
    cmake_path(GET first PARENT_PATH room)
    cmake_path(GET room FILENAME room)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/unity/${room}_${stem}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "${includes}${bodies}" @ONLY)
    list(APPEND sources "${source}")
  endwhile()
  set(${result} "${sources}" PARENT_SCOPE)
endfunction()
