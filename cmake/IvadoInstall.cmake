# install and find_package(ivado).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/ivado")

install(DIRECTORY include/ivado DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
target_include_directories(ivado_data INTERFACE "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

# One export set for each component, so that none asks for the libraries of another.
foreach(component data torch ${IVADO_COMPONENTS})
  set(target ivado_${component})
  if(component STREQUAL "torch")
    set(target ivado)
  endif()
  if(TARGET ${target})
    install(TARGETS ${target} EXPORT ivado_${component}_targets)
    install(EXPORT ivado_${component}_targets FILE ivado-${component}-targets.cmake NAMESPACE ivado:: DESTINATION "${package_dir}")
  endif()
endforeach()

configure_package_config_file(cmake/ivadoConfig.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/ivadoConfig.cmake"
                              INSTALL_DESTINATION "${package_dir}" PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
# Before 1.0 a minor version may change what users call.
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/ivadoConfigVersion.cmake" COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(
  FILES "${CMAKE_CURRENT_BINARY_DIR}/ivadoConfig.cmake"
        "${CMAKE_CURRENT_BINARY_DIR}/ivadoConfigVersion.cmake"
        cmake/IvadoDependencies.cmake
        cmake/IvadoExperiment.cmake
        cmake/IvadoCompiled.cmake
        cmake/IvadoScan.cmake
        cmake/experiment.cpp.in
  DESTINATION "${package_dir}")
