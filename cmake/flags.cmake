# What every target of the project is compiled with.

add_library(cairn_flags INTERFACE)
target_compile_definitions(cairn_flags INTERFACE _GNU_SOURCE CAIRN_VERSION="${PROJECT_VERSION}")
target_compile_options(cairn_flags INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
  -fno-common
  # log_event("...", "") is a line without fields.
  -Wno-format-zero-length
  # The promise of equal bits: multiply-adds are never contracted behind our back (docs/design.md).
  -ffp-contract=off)

if(CAIRN_SANITIZE)
  target_compile_options(cairn_flags INTERFACE
    -fsanitize=${CAIRN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(cairn_flags INTERFACE -fsanitize=${CAIRN_SANITIZE})
  # Where it is there: it links what is instrumented in half the time, and there are some 150 programs.
  include(CheckLinkerFlag)
  check_linker_flag(C -fuse-ld=gold CAIRN_GOLD)
  if(CAIRN_GOLD)
    target_link_options(cairn_flags INTERFACE -fuse-ld=gold)
  endif()
endif()
if(CAIRN_COVERAGE)
  # Threads and killed processes count too.
  target_compile_options(cairn_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(cairn_flags INTERFACE --coverage)
endif()
if(CAIRN_FUZZ)
  target_compile_options(cairn_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# cairn_library(NAME FOLDER SOURCE...): a static library whose users include its headers relative to FOLDER.
function(cairn_library name folder)
  add_library(${name} STATIC ${ARGN})
  target_include_directories(${name} PUBLIC ${folder})
  target_link_libraries(${name} PRIVATE cairn_flags)
endfunction()
