# What `cmake --install` puts under its prefix: programs, libcairn with its header and what finds it, documents.
include(CMakePackageConfigHelpers)

install(TARGETS cairn cairn-coordinator cairn-server cairn-worker RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS cairn_shared EXPORT cairn LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES client/lib/cairn.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(cairn_package ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)
install(EXPORT cairn FILE cairnConfig.cmake NAMESPACE cairn:: DESTINATION ${cairn_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cairnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cairnConfigVersion.cmake DESTINATION ${cairn_package})

# The prefix is where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH cairn_prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/cairn.pc.in ${PROJECT_BINARY_DIR}/cairn.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cairn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
