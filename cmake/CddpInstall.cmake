# The library for other projects: targets cddp::ddp, cddp::collective and cddp::core, in this build
# and, after `cmake --install`, by find_package(cddp).
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(libraries cddp_core cddp_collective)
foreach(library cddp_peers cddp_cuda cddp_ddp)
  if(TARGET ${library})
    list(APPEND libraries ${library})
  endif()
endforeach()
foreach(library IN LISTS libraries)
  string(REPLACE "cddp_" "" name ${library})
  add_library(cddp::${name} ALIAS ${library})
  set_target_properties(${library} PROPERTIES EXPORT_NAME ${name})
endforeach()

install(TARGETS ${libraries} cddp_flags EXPORT cddp)
if(CDDP_TORCH)
  install(TARGETS cddp_torch EXPORT cddp)
endif()
install(DIRECTORY include/ ddp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/compressed_ddp
  FILES_MATCHING PATTERN "*.h" PATTERN gloo_stand_in EXCLUDE PATTERN torch_1_13 EXCLUDE)
install(DIRECTORY ddp/gloo_stand_in ddp/torch_1_13
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/compressed_ddp)
if(TARGET cddp)
  install(TARGETS cddp)
endif()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/cddp)
install(EXPORT cddp NAMESPACE cddp:: DESTINATION ${package} FILE cddpTargets.cmake)
configure_package_config_file(cmake/cddpConfig.cmake.in ${PROJECT_BINARY_DIR}/cddpConfig.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cddpConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cddpConfig.cmake ${PROJECT_BINARY_DIR}/cddpConfigVersion.cmake
  DESTINATION ${package})
