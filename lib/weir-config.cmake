# SPDX-License-Identifier: MIT
# find_package(weir [COMPONENTS tls]) : the targets weir::weir and weir::tls.

include(CMakeFindDependencyMacro)
find_dependency(Threads)

get_filename_component(weir_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
find_path(weir_includedir weir.h
	HINTS "${weir_libdir}/../include" "${weir_libdir}/../../include")

# weir_library(TARGET NAME HEADER) : the shared library, or else the static one.
function(weir_library target name header)
	find_library(weir_file_${target} NAMES ${name}
		HINTS "${weir_libdir}" NO_DEFAULT_PATH)
	if(NOT weir_file_${target} OR NOT EXISTS "${weir_includedir}/${header}")
		return()
	endif()
	add_library(weir::${target} UNKNOWN IMPORTED)
	set_target_properties(weir::${target} PROPERTIES
		IMPORTED_LOCATION "${weir_file_${target}}"
		INTERFACE_INCLUDE_DIRECTORIES "${weir_includedir}"
		INTERFACE_LINK_LIBRARIES "${ARGN}")
	set(weir_${target}_FOUND TRUE PARENT_SCOPE)
endfunction()

if(NOT TARGET weir::weir)
	weir_library(weir weir weir.h Threads::Threads)
endif()
if("tls" IN_LIST weir_FIND_COMPONENTS AND NOT TARGET weir::tls)
	find_dependency(OpenSSL 3.0)
	weir_library(tls weir-tls weir-tls.h
		weir::weir OpenSSL::SSL OpenSSL::Crypto)
endif()

if(NOT TARGET weir::weir)
	set(weir_FOUND FALSE)
endif()
foreach(component IN LISTS weir_FIND_COMPONENTS)
	if(weir_FIND_REQUIRED_${component} AND NOT TARGET weir::${component})
		set(weir_FOUND FALSE)
		set(weir_NOT_FOUND_MESSAGE "weir has no component ${component}")
	endif()
endforeach()
