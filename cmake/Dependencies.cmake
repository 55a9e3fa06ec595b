# The libraries of the system that we build on. Nothing is fetched.
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt 9 REQUIRED)

find_path(LIBNL_INCLUDE_DIR netlink/netlink.h PATH_SUFFIXES libnl3 REQUIRED)

# find_system_library(VARIABLE NAME): the archive for a static build, else the shared object.
function(find_system_library variable name)
  if(CNI_STATIC)
    find_library(${variable} NAMES lib${name}.a REQUIRED)
  else()
    find_library(${variable} NAMES ${name} REQUIRED)
  endif()
endfunction()
find_system_library(LIBNL_LIBRARY nl-3)
find_system_library(LIBMD_LIBRARY md)

# Debian has libiptc as shared objects only; cmake/prepare_libiptc builds the archives, once for all
# build directories.
set(CNI_LIBIPTC_DIRECTORY "${PROJECT_SOURCE_DIR}/build-deps/libiptc" CACHE PATH
  "Where libiptc for a static build is, or is to be built")
if(CNI_STATIC)
  execute_process(
    COMMAND "${PROJECT_SOURCE_DIR}/cmake/prepare_libiptc" "${CNI_LIBIPTC_DIRECTORY}"
    RESULT_VARIABLE prepare_status)
  if(NOT prepare_status EQUAL 0)
    message(FATAL_ERROR "cmake/prepare_libiptc could not build libip4tc.a and libip6tc.a. "
      "-DCNI_LIBIPTC_DIRECTORY=DIR takes those below DIR/lib and the headers below DIR/include; "
      "-DCNI_STATIC=OFF takes the shared objects of libip4tc-dev and libip6tc-dev.")
  endif()
  find_library(LIBIP4TC_LIBRARY NAMES libip4tc.a HINTS "${CNI_LIBIPTC_DIRECTORY}/lib" REQUIRED)
  find_library(LIBIP6TC_LIBRARY NAMES libip6tc.a HINTS "${CNI_LIBIPTC_DIRECTORY}/lib" REQUIRED)
  find_path(LIBIPTC_INCLUDE_DIR libiptc/libip6tc.h HINTS "${CNI_LIBIPTC_DIRECTORY}/include"
    REQUIRED)
else()
  find_library(LIBIP4TC_LIBRARY NAMES ip4tc REQUIRED)
  find_library(LIBIP6TC_LIBRARY NAMES ip6tc REQUIRED)
  find_path(LIBIPTC_INCLUDE_DIR libiptc/libip6tc.h REQUIRED)
endif()

add_library(iptc INTERFACE)
target_include_directories(iptc SYSTEM INTERFACE "${LIBIPTC_INCLUDE_DIR}")
target_link_libraries(iptc INTERFACE "${LIBIP4TC_LIBRARY}" "${LIBIP6TC_LIBRARY}")

add_library(nl INTERFACE)
target_include_directories(nl SYSTEM INTERFACE "${LIBNL_INCLUDE_DIR}")
target_link_libraries(nl INTERFACE "${LIBNL_LIBRARY}")
if(CNI_STATIC)
  # After libnl, whose references it satisfies before libc would.
  target_link_libraries(nl INTERFACE no_name_service)
endif()

add_library(md INTERFACE)
target_link_libraries(md INTERFACE "${LIBMD_LIBRARY}")
