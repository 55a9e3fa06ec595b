# How each kind of target in this tree is made.

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

# Flags of every target of ours.
add_library(cni_flags INTERFACE)
target_compile_features(cni_flags INTERFACE cxx_std_23)
target_include_directories(cni_flags INTERFACE "${PROJECT_SOURCE_DIR}/common")
target_compile_definitions(cni_flags INTERFACE CNI_BUILD_VERSION="v${PROJECT_VERSION}")
target_compile_options(cni_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -ffunction-sections -fdata-sections
  $<$<BOOL:${CNI_WERROR}>:-Werror>)
target_link_options(cni_flags INTERFACE -Wl,--gc-sections)
if(CNI_STATIC)
  target_link_options(cni_flags INTERFACE -static)
endif()
if(CNI_SANITIZE)
  target_compile_options(cni_flags INTERFACE -fsanitize=address,undefined
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(cni_flags INTERFACE -fsanitize=address,undefined)
endif()
if(CNI_FUZZ)
  # Coverage for libFuzzer to steer by, and the standard library's own checks of indices.
  target_compile_options(cni_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_compile_definitions(cni_flags INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(CNI_COVERAGE)
  target_compile_options(cni_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(cni_flags INTERFACE --coverage)
endif()

# fmt's code, which the headers alone would bring into every file that formats something. It is not
# the distribution's archive, since that asks the locale for a separator, which brings all of these
# into the program and has them made at its start.
add_library(cni_fmt STATIC "${CMAKE_CURRENT_LIST_DIR}/fmt.cpp")
target_compile_definitions(cni_fmt PUBLIC "FMT_STATIC_THOUSANDS_SEPARATOR=','")
target_link_libraries(cni_fmt PUBLIC cni_flags)

# The headers that most files include, read once instead of hundreds of times; most of the time of a
# build went into them. Each file includes what it needs all the same:
# -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without.
add_library(cni_headers OBJECT "${CMAKE_CURRENT_LIST_DIR}/headers.cpp")
target_link_libraries(cni_headers PRIVATE cni_fmt nlohmann_json::nlohmann_json)
target_precompile_headers(cni_headers PRIVATE
  <algorithm> <functional> <map> <optional> <string> <vector> <fmt/format.h> <nlohmann/json.hpp>)

# cni_use_headers(TARGET): for a target with the flags of all others and with fmt.
function(cni_use_headers target)
  target_precompile_headers(${target} REUSE_FROM cni_headers)
endfunction()

# cni_add_library(NAME SOURCES ... LINK ...): one folder of common/ as target cni_NAME.
# LINK says which layers below it may use; test/unit/layers_test.py holds the picture.
function(cni_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(cni_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(cni_${name} PUBLIC cni_flags ${ARG_LINK})
  cni_use_headers(cni_${name})
endfunction()

# cni_add_plugin(NAME SOURCES ... LINK ... [ALIASES ...]): the executable build/bin/NAME, and its
# sources but NAME.cpp as library cni_plugin_NAME for unit tests. An alias is a second name by
# which runtimes call the same file.
function(cni_add_plugin name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;ALIASES" ${ARGN})
  if(ARG_SOURCES)
    add_library(cni_plugin_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(cni_plugin_${name} PUBLIC cni_flags ${ARG_LINK})
    target_include_directories(cni_plugin_${name} PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
    cni_use_headers(cni_plugin_${name})
    add_executable(${name} ${name}.cpp)
    target_link_libraries(${name} PRIVATE cni_plugin_${name})
  else()
    add_executable(${name} ${name}.cpp)
    target_link_libraries(${name} PRIVATE cni_flags ${ARG_LINK})
  endif()
  cni_use_headers(${name})
  cni_install_program(${name})
  foreach(alias IN LISTS ARG_ALIASES)
    add_custom_command(TARGET ${name} POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink ${name} "${CMAKE_BINARY_DIR}/bin/${alias}"
      VERBATIM)
    cni_install_link(${name} ${alias})
  endforeach()
endfunction()

# Installs TARGET into bin: written beside the old file, then renamed over it, so that a node
# which starts plugins meanwhile meets neither "text file busy" nor half a binary.
function(cni_install_program target)
  install(CODE "
    set(directory \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin\")
    set(temporary \"\${directory}/.${target}.new\")
    file(MAKE_DIRECTORY \"\${directory}\")
    file(COPY_FILE \"$<TARGET_FILE:${target}>\" \"\${temporary}\")
    execute_process(COMMAND \"${CMAKE_STRIP}\" \"\${temporary}\" COMMAND_ERROR_IS_FATAL ANY)
    file(CHMOD \"\${temporary}\" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
      GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    file(RENAME \"\${temporary}\" \"\${directory}/${target}\")
    message(STATUS \"Installed: \${directory}/${target}\")")
endfunction()

# Installs the name ALIAS as a link to TARGET, replaced in one step as well.
function(cni_install_link target alias)
  install(CODE "
    set(directory \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/bin\")
    file(CREATE_LINK ${target} \"\${directory}/.${alias}.new\" SYMBOLIC)
    file(RENAME \"\${directory}/.${alias}.new\" \"\${directory}/${alias}\")
    message(STATUS \"Installed: \${directory}/${alias} -> ${target}\")")
endfunction()
