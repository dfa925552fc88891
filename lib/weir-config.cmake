# SPDX-License-Identifier: MIT
# find_package(weir [COMPONENTS tls] [OPTIONAL_COMPONENTS tls]) : the targets
# weir::weir and weir::tls.

include(CMakeFindDependencyMacro)
find_dependency(Threads)

# Nothing stays in the cache: weir_DIR may be another folder the next time.
get_filename_component(weir_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
find_path(weir_find weir.h HINTS "${weir_libdir}/../include"
	"${weir_libdir}/../../include" NO_DEFAULT_PATH)
find_path(weir_find weir.h)
set(weir_includedir "${weir_find}")
unset(weir_find CACHE)

# weir_library(TARGET NAME HEADER) : the shared library, or else the static one.
function(weir_library target name header)
	find_library(weir_find NAMES ${name}
		HINTS "${weir_libdir}" NO_DEFAULT_PATH)
	set(file "${weir_find}")
	unset(weir_find CACHE)
	if(NOT file OR NOT EXISTS "${weir_includedir}/${header}")
		return()
	endif()
	add_library(weir::${target} UNKNOWN IMPORTED)
	set_target_properties(weir::${target} PROPERTIES
		IMPORTED_LOCATION "${file}"
		INTERFACE_INCLUDE_DIRECTORIES "${weir_includedir}"
		INTERFACE_LINK_LIBRARIES "${ARGN}")
endfunction()

if(NOT TARGET weir::weir)
	weir_library(weir weir weir.h Threads::Threads)
endif()
if("tls" IN_LIST weir_FIND_COMPONENTS AND NOT TARGET weir::tls)
	if(weir_FIND_REQUIRED_tls)
		find_dependency(OpenSSL 3.0)
	else()
		find_package(OpenSSL 3.0 QUIET)
	endif()
	if(OpenSSL_FOUND)
		weir_library(tls weir-tls weir-tls.h
			weir::weir OpenSSL::SSL OpenSSL::Crypto)
	endif()
endif()

if(NOT TARGET weir::weir)
	set(weir_FOUND FALSE)
endif()
foreach(component IN LISTS weir_FIND_COMPONENTS)
	if(TARGET weir::${component})
		set(weir_${component}_FOUND TRUE)
	elseif(weir_FIND_REQUIRED_${component})
		set(weir_FOUND FALSE)
		set(weir_NOT_FOUND_MESSAGE "weir has no component ${component}")
	endif()
endforeach()
