# SPDX-License-Identifier: Apache-2.0
#
# Which file in tests/ becomes which test. Included by the root CMakeLists.txt.
#
#   tests/test_NAME.c    a Criterion program and a ctest test NAME
#   tests/plain_NAME.c   the same without Criterion (its arena does not start under TSan)
#   tests/job_NAME.sh    runs whole programs; gets the build folder as its argument
#   ..._full             runs only with `ctest -C Full`, that is with tests/run.sh --full
#
# One of a test's first three lines may say what it is linked with:
#   /* links: WORD... */
#     (none)         all of libweir and libweir_main, internal names too, with the real doors
#     main, zmq      the same; zmq says that the test is for TSan too
#     operators      operators/ alone; the test brings what it stands on
#     sim            all of libweir with simulated doors: one thread, one seed
#     free           all of libweir with a simulated transport and real threads
#     sqlite         libweir_sqlite's files too; without libsqlite3 there is no such test
#     tool           the files of checkpoint/tool, but for its main
#     measure        bench/measure
#     any other      tests/WORD.c as well
# A program prints lines that begin with "figure: " for what tests/LAST_FULL.md should keep, and
# with "exercised: " for what FAULTS.md counts (exercised.h).

pkg_check_modules(CRITERION IMPORTED_TARGET criterion)
if(NOT CRITERION_FOUND AND NOT WEIR_SANITIZE MATCHES "thread")
    message(FATAL_ERROR "Criterion is missing (Debian: libcriterion-dev); or use -DWEIR_TESTS=OFF")
endif()

# ---- what tests are linked with ------------------------------------------------------------------

set(all_folders ${private_folders} "SHELL:-iquote ${PROJECT_SOURCE_DIR}/operators"
    "SHELL:-iquote ${PROJECT_SOURCE_DIR}/runtime/main" ${control_folder}
    "SHELL:-iquote ${PROJECT_SOURCE_DIR}/tests" "SHELL:-iquote ${PROJECT_SOURCE_DIR}/tests/sim")
# All of libweir and libweir_main as an archive: a test takes the files it needs, and may bring its
# own instead of some.
add_library(weir_parts STATIC EXCLUDE_FROM_ALL ${all_objects})
set_target_properties(weir_parts PROPERTIES LINKER_LANGUAGE C)
target_link_libraries(weir_parts PUBLIC ${foreign})
if(TARGET weir_main_objects)
    target_sources(weir_parts PRIVATE $<TARGET_OBJECTS:weir_main_objects>
        $<TARGET_OBJECTS:weir_control_objects>)
    target_link_libraries(weir_parts PUBLIC ${control_foreign})
endif()

# ---- libweir in the simulator --------------------------------------------------------------------

set(twins ${doors})
list(TRANSFORM twins REPLACE "^.*/" "tests/sim/")
function(add_variant name)
    add_library(${name} STATIC EXCLUDE_FROM_ALL ${ARGN})
    target_include_directories(${name} PUBLIC ${public_folder})
    target_compile_options(${name} PUBLIC ${all_folders})
    target_link_libraries(${name} PUBLIC ${foreign} PRIVATE weir_flags)
endfunction()
# All twins, and WEIR_SIMULATION, under which the bugs planted to test the tests can be woken.
if(twin_sources)
    add_variant(weir_sim ${core_sources} ${operator_sources} ${twin_sources})
    target_compile_definitions(weir_sim PUBLIC WEIR_SIMULATION=1 PRIVATE _GNU_SOURCE=)
endif()
# Only the transport's twin: threads run free, and TSan sees what orders them.
if(WEIR_SANITIZE MATCHES "thread" AND EXISTS ${PROJECT_SOURCE_DIR}/tests/sim/transport.c)
    set(free_doors ${door_sources})
    list(REMOVE_ITEM free_doors runtime/transport.c)
    set(free_twins ${twin_sources})
    list(REMOVE_ITEM twins tests/sim/transport.c)
    list(REMOVE_ITEM free_twins ${twins})
    add_variant(weir_free ${core_sources} ${operator_sources} ${free_doors} ${free_twins})
    target_compile_definitions(weir_free PRIVATE _GNU_SOURCE=)
endif()

# ---- helpers -------------------------------------------------------------------------------------

# Sanitizers' settings, for programs and what they start.
set(test_environment
    "ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tools/lsan.supp:print_suppressions=0"
    "TSAN_OPTIONS=halt_on_error=1:suppressions=${PROJECT_SOURCE_DIR}/tests/tools/tsan.supp")

# Builds that repeat what the first one tries completely, see explore.h.
if(WEIR_SANITIZE)
    list(APPEND test_environment "WEIR_TEST_SHARE=24")
elseif(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND test_environment "WEIR_TEST_SHARE=24")
endif()

# The sanitizers of these compilers lose their way where the kernel scatters addresses over more
# than 28 bits, as new ones do. Some containers forbid to switch that off.
set(launcher)
if(WEIR_SANITIZE)
    execute_process(COMMAND setarch -R true RESULT_VARIABLE forbidden OUTPUT_QUIET ERROR_QUIET)
    if(forbidden EQUAL 0)
        set(launcher setarch -R)
    endif()
endif()

# weir_test(NAME TIMEOUT COMMAND...): names that end in _full wait for `ctest -C Full`.
function(weir_test name timeout)
    set(when)
    if(name MATCHES "_full$")
        set(when CONFIGURATIONS Full)
        math(EXPR timeout "${timeout} * 20")
    endif()
    add_test(NAME ${WEIR_TEST_PREFIX}${name} COMMAND ${ARGN} ${when})
    set_tests_properties(${WEIR_TEST_PREFIX}${name} PROPERTIES TIMEOUT ${timeout}
        SKIP_RETURN_CODE 77 ENVIRONMENT "${test_environment}")
endfunction()

# Sets `links` (of libweir) and `helpers` (files of tests/, without .c) from the test's first lines.
function(read_links source)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    set(links all)
    set(extra)
    set(helpers)
    file(STRINGS ${source} head LIMIT_COUNT 3)
    if(head MATCHES "links: ([a-z0-9_ ]+)")
        separate_arguments(words UNIX_COMMAND "${CMAKE_MATCH_1}")
        foreach(word IN LISTS words)
            if(word MATCHES "^(operators|sim|free|zmq|main)$")
                set(links ${word})
            elseif(word MATCHES "^(sqlite|tool|measure)$")
                set(extra ${word})
            else()
                list(APPEND helpers ${word})
            endif()
        endforeach()
    endif()
    set(links ${links} PARENT_SCOPE)
    set(extra ${extra} PARENT_SCOPE)
    set(helpers ${helpers} PARENT_SCOPE)
endfunction()

# With sanitizers, twins that are not optimised take longer than it takes to optimise them.
set(test_computes "aligner|bad_bytes|difference|handover|journal|order|round|round_states")
string(APPEND test_computes "|state|state_kinds|torture.*")

# How a test is compiled, and its helpers: those are compiled once for all tests that are linked
# alike.
function(weir_test_flags target links extra criterion)
    # Tests may use POSIX freely; WEIR_SOURCE_DIR is where fixtures like golden stores lie.
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE=
        WEIR_SOURCE_DIR="${PROJECT_SOURCE_DIR}" WEIR_BINARY_DIR="${PROJECT_BINARY_DIR}")
    target_include_directories(${target} PRIVATE ${public_folder})
    target_compile_options(${target} PRIVATE ${all_folders})
    if(NOT links STREQUAL "sim") # those compute; others take longer to compile than to run
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
        if(WEIR_SANITIZE AND NOT target MATCHES "^test_(${test_computes})$")
            target_compile_options(${target} PRIVATE -O0)
        endif()
    endif()
    target_link_libraries(${target} PRIVATE weir_flags ${criterion})
    if(links MATCHES "^(sim|free)$")
        target_link_libraries(${target} PRIVATE weir_${links})
    elseif(NOT links STREQUAL "operators")
        target_link_libraries(${target} PRIVATE weir_parts)
    endif()
    if(extra STREQUAL "sqlite")
        target_compile_options(${target} PRIVATE
            "SHELL:-iquote ${PROJECT_SOURCE_DIR}/operators/sqlite")
        target_link_libraries(${target} PRIVATE PkgConfig::SQLITE)
    endif()
endfunction()

function(weir_test_program source criterion)
    cmake_path(GET source STEM file)
    string(REGEX REPLACE "^test_" "" name ${file})
    read_links(${source})
    if(WEIR_SANITIZE MATCHES "thread" AND NOT (file MATCHES "^plain_" AND links MATCHES "free|zmq"))
        return()
    endif()
    if(links STREQUAL "free" AND NOT TARGET weir_free)
        return() # for TSan only
    endif()
    if(links STREQUAL "sim" AND NOT TARGET weir_sim)
        message(STATUS "${source}: waits for its doors in tests/sim/")
        return()
    endif()
    if(extra STREQUAL "sqlite" AND NOT TARGET weir_sqlite_objects)
        message(STATUS "${source}: libweir_sqlite is not built")
        return()
    endif()
    add_executable(${file} ${source})
    set_target_properties(${file} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    weir_test_flags(${file} ${links} "${extra}" "${criterion}")
    foreach(helper IN LISTS helpers)
        set(compiled ${helper}_of_${links}${extra})
        if(NOT TARGET ${compiled})
            add_library(${compiled} OBJECT tests/${helper}.c)
            weir_test_flags(${compiled} ${links} "${extra}" "${criterion}")
        endif()
        target_sources(${file} PRIVATE $<TARGET_OBJECTS:${compiled}>)
    endforeach()
    if(links STREQUAL "operators")
        target_sources(${file} PRIVATE $<TARGET_OBJECTS:weir_operator>
            ${PROJECT_SOURCE_DIR}/runtime/operator_item.c)
        target_link_libraries(${file} PRIVATE ${foreign})
    endif()
    if(extra STREQUAL "sqlite")
        target_sources(${file} PRIVATE $<TARGET_OBJECTS:weir_sqlite_objects>)
    elseif(extra STREQUAL "tool")
        target_sources(${file} PRIVATE $<TARGET_OBJECTS:weir_tool_objects>
            $<TARGET_OBJECTS:weir_control_objects>)
        target_compile_options(${file} PRIVATE
            "SHELL:-iquote ${PROJECT_SOURCE_DIR}/checkpoint/tool")
        target_link_libraries(${file} PRIVATE ${tool_foreign} ${control_foreign} ${CMAKE_DL_LIBS} m)
    elseif(extra STREQUAL "measure")
        target_sources(${file} PRIVATE $<TARGET_OBJECTS:bench_measure>)
        target_compile_options(${file} PRIVATE
            "SHELL:-iquote ${PROJECT_SOURCE_DIR}/bench/measure")
    endif()
    weir_test(${name} 900 ${launcher} $<TARGET_FILE:${file}>)
endfunction()

# ---- fuzzing -------------------------------------------------------------------------------------

# tests/fuzz/*.c are one program: with libFuzzer in the preset `fuzz`, which has nothing else; in
# the others without, as the test `fuzz_replay`. All of it is on the simulated doors, and with it
# what of runtime/main and of the tool reads what people and programs say.
find_files(fuzz_sources tests/fuzz/*.c)
set(fuzz_targets ${fuzz_sources})
list(FILTER fuzz_targets EXCLUDE REGEX "/(engine|replay|fuzz)\\.c$")
list(FILTER fuzz_sources EXCLUDE REGEX "/(engine|replay)\\.c$")
set(fuzz_helpers tests/fuzz_bytes.c tests/fuzz_node.c tests/rich_store.c tests/samples.c)
set(fuzz_main bytes config control digits duration options parameters refusal reply savepoints)
list(TRANSFORM fuzz_main PREPEND runtime/main/)
set(fuzz_tool format format_parse format_show number utf8)
list(TRANSFORM fuzz_tool PREPEND checkpoint/tool/)
list(APPEND fuzz_main ${fuzz_tool})
set_source_files_properties(tests/fuzz/format.c PROPERTIES # both have an options.h
    COMPILE_OPTIONS "-iquote;${PROJECT_SOURCE_DIR}/checkpoint/tool")
list(TRANSFORM fuzz_main APPEND .c)
list(APPEND fuzz_main checkpoint/control/control_store.c)
function(add_fuzz name front)
    add_executable(${name} tests/fuzz/${front}.c ${fuzz_sources} ${fuzz_helpers} ${fuzz_main})
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE=)
    target_include_directories(${name} PRIVATE ${public_folder})
    target_link_libraries(${name} PRIVATE weir_flags weir_sim m)
endfunction()
if(WEIR_FUZZ)
    add_fuzz(fuzz engine)
    target_link_options(fuzz PRIVATE -fsanitize=fuzzer)
    foreach(source IN LISTS fuzz_targets)
        cmake_path(GET source STEM name)
        set(run bash ${PROJECT_SOURCE_DIR}/tests/fuzz/run --build ${PROJECT_BINARY_DIR})
        weir_test(${name} 120 ${run} --seconds 3 ${name})
        weir_test(${name}_full 30 ${run} --seconds 120 ${name})
        set_tests_properties(${WEIR_TEST_PREFIX}${name} ${WEIR_TEST_PREFIX}${name}_full PROPERTIES
            RESOURCE_LOCK ${name}_corpus)
    endforeach()
    get_property(others DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
    list(REMOVE_ITEM others fuzz)
    foreach(other IN LISTS others)
        set_target_properties(${other} PROPERTIES EXCLUDE_FROM_ALL ON)
    endforeach()
    return()
elseif(NOT WEIR_SANITIZE MATCHES "thread")
    add_fuzz(fuzz_replay replay)
    weir_test(fuzz_replay 300 ${launcher} $<TARGET_FILE:fuzz_replay>
        ${PROJECT_SOURCE_DIR}/tests/fuzz/found)
endif()

# ---- the tests -----------------------------------------------------------------------------------

find_files(test_sources tests/test_*.c)
foreach(source IN LISTS test_sources)
    weir_test_program(${source} PkgConfig::CRITERION)
endforeach()
find_files(plain_sources tests/plain_*.c)
foreach(source IN LISTS plain_sources)
    weir_test_program(${source} "")
endforeach()

# Tests that lie beside an example: see the root CMakeLists.txt.
if(NOT WEIR_SANITIZE MATCHES "thread")
    foreach(source IN LISTS example_tests)
        cmake_path(GET source STEM name)
        weir_test(example_${name} 300 ${launcher} $<TARGET_FILE:example_${name}>)
    endforeach()
endif()

if(WEIR_JOB_TESTS)
    # Programs on libweir_main that only tests want: tests/programs/NAME.c becomes
    # build/PRESET/tests/programs/NAME.
    find_files(test_program_sources tests/programs/*.c)
    foreach(source IN LISTS test_program_sources)
        cmake_path(GET source STEM name)
        add_executable(program_${name} ${source})
        set_target_properties(program_${name} PROPERTIES OUTPUT_NAME ${name}
            RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/programs)
        target_compile_definitions(program_${name} PRIVATE _GNU_SOURCE=)
        target_link_libraries(program_${name} PRIVATE weir_main weir_flags)
    endforeach()
    # For LD_PRELOAD: breaks the k-th file call of a program. It defines what libc's headers would
    # otherwise turn into checked calls.
    add_library(fault MODULE tests/tools/fault.c)
    set_target_properties(fault PROPERTIES PREFIX "" C_VISIBILITY_PRESET default
        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_compile_definitions(fault PRIVATE _GNU_SOURCE=)
    set_source_files_properties(tests/tools/fault.c PROPERTIES COMPILE_OPTIONS -U_FORTIFY_SOURCE)
    target_link_libraries(fault PRIVATE weir_flags ${CMAKE_DL_LIBS})
    # The same for what a library of others allocates.
    add_library(scarce MODULE tests/tools/scarce.c)
    set_target_properties(scarce PROPERTIES PREFIX "" C_VISIBILITY_PRESET default
        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_compile_definitions(scarce PRIVATE _GNU_SOURCE=)
    target_link_libraries(scarce PRIVATE weir_flags ${CMAKE_DL_LIBS})
    # A bad network for the tasks of a program, and what sends their connections to it.
    add_library(detour_shim MODULE tests/tools/detour_shim.c)
    set_target_properties(detour_shim PROPERTIES PREFIX "" C_VISIBILITY_PRESET default
        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_compile_definitions(detour_shim PRIVATE _GNU_SOURCE=)
    target_link_libraries(detour_shim PRIVATE weir_flags ${CMAKE_DL_LIBS})
    add_executable(detour tests/tools/detour.c tests/detour_line.c)
    set_target_properties(detour PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_include_directories(detour PRIVATE ${public_folder})
    target_compile_definitions(detour PRIVATE _GNU_SOURCE=)
    target_compile_options(detour PRIVATE ${all_folders})
    target_link_libraries(detour PRIVATE weir_flags)
    # word_count with bugs planted in its gate and its store: WEIR_PLANT=NAME wakes one.
    add_executable(planted tests/tools/planted.c examples/word_count/word_count.c runtime/gate.c
        checkpoint/store_round.c)
    set_target_properties(planted PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    target_include_directories(planted PRIVATE ${public_folder})
    target_compile_definitions(planted PRIVATE WEIR_SIMULATION=1 _GNU_SOURCE=)
    target_compile_options(planted PRIVATE ${all_folders})
    target_link_libraries(planted PRIVATE weir_flags weir_parts)
    find_files(jobs tests/job_*.sh)
    foreach(job IN LISTS jobs)
        cmake_path(GET job STEM file)
        string(REGEX REPLACE "^job_" "" name ${file})
        weir_test(${name} 600 bash ${PROJECT_SOURCE_DIR}/${job} ${PROJECT_BINARY_DIR})
        set_tests_properties(${WEIR_TEST_PREFIX}${name} PROPERTIES LABELS job)
    endforeach()
endif()

# ---- how the sources and the installed library look ----------------------------------------------

if(WEIR_SANITIZE OR NOT CMAKE_BUILD_TYPE STREQUAL "Release")
    return()
endif()
# For the style test: the objects whose calls and data it reads.
set(sqlite_objects)
if(TARGET weir_sqlite_objects)
    set(sqlite_objects $<JOIN:$<TARGET_OBJECTS:weir_sqlite_objects>,\n>)
endif()
file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/objects.txt
    CONTENT "$<JOIN:${all_objects},\n>\n${sqlite_objects}\n")
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    weir_test(style 120 python3 ${PROJECT_SOURCE_DIR}/tests/style ${PROJECT_BINARY_DIR})
    weir_test(style_catches 300 python3 ${PROJECT_SOURCE_DIR}/tests/style --prove)
    weir_test(cases 60 python3 ${PROJECT_SOURCE_DIR}/tests/cases)
    weir_test(cases_catches 60 python3 ${PROJECT_SOURCE_DIR}/tests/cases --prove)
    weir_test(faults 60 python3 ${PROJECT_SOURCE_DIR}/tests/faults)
    weir_test(faults_catches 60 python3 ${PROJECT_SOURCE_DIR}/tests/faults --prove)
    set(analyse python3 ${PROJECT_SOURCE_DIR}/tests/analyse)
    weir_test(analyse 600 ${analyse} ${PROJECT_BINARY_DIR})
    weir_test(analyse_catches 60 ${analyse} --prove ${PROJECT_BINARY_DIR})
    weir_test(analyse_full 300 ${analyse} --full ${PROJECT_BINARY_DIR})
endif()

# Projects of strangers, built and run against an installed tree.
set(outside bash ${PROJECT_SOURCE_DIR}/tests/outside/try.sh)
set(fixture ${WEIR_TEST_PREFIX}installed)
foreach(step IN ITEMS install symbols hardening headers cmake pkgconfig)
    weir_test(outside_${step} 120 ${outside} ${step} ${PROJECT_BINARY_DIR})
    set_tests_properties(${WEIR_TEST_PREFIX}outside_${step} PROPERTIES FIXTURES_REQUIRED ${fixture})
endforeach()
set_tests_properties(${WEIR_TEST_PREFIX}outside_install PROPERTIES FIXTURES_REQUIRED ""
    FIXTURES_SETUP ${fixture})
