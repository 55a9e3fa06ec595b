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

add_library(nl INTERFACE)
target_include_directories(nl SYSTEM INTERFACE "${LIBNL_INCLUDE_DIR}")
target_link_libraries(nl INTERFACE "${LIBNL_LIBRARY}")
if(CNI_STATIC)
  # After libnl, whose references it satisfies before libc would.
  target_link_libraries(nl INTERFACE no_name_service)
endif()

add_library(md INTERFACE)
target_link_libraries(md INTERFACE "${LIBMD_LIBRARY}")
