# Compares the machine code of the functions in step.cpp:
#   cmake -D OBJDUMP=… -D OBJECT=step.o -P compare.cmake
cmake_policy(VERSION 3.25)
execute_process(COMMAND "${OBJDUMP}" -d -r --no-show-raw-insn --demangle "${OBJECT}" OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)

# The instructions of a function: no addresses, jumps by their distance from its begin.
function(instructions_of function result)
  string(REGEX MATCH "[0-9a-f]+ <${function}>:\n([^\n]+\n)+" code "${listing}")
  if(NOT code)
    message(FATAL_ERROR "ivado: ${OBJECT} has no function ${function}")
  endif()
  string(FIND "${code}" "\n" head)
  string(SUBSTRING "${code}" ${head} -1 code)
  string(REGEX REPLACE "\n[ \t]*[0-9a-f]+:" "\n" code "${code}")             # the address of an instruction
  string(REGEX REPLACE "[0-9a-f]+ <[^>+]+\\+(0x[0-9a-f]+)>" "<+\\1>" code "${code}") # that of where it jumps to
  string(REGEX REPLACE "[0-9a-f]+ <[^>+]+>" "<begin>" code "${code}")
  string(REGEX REPLACE "\n[ \t]*nop[^\n]*" "" code "${code}")                # what aligns the next function
  string(REGEX REPLACE "\n[ \t]*(data16 )?cs nop[^\n]*" "" code "${code}")
  string(REGEX REPLACE "\n[ \t]*xchg +%ax,%ax[^\n]*" "" code "${code}")
  string(REGEX MATCHALL "\n[^\n]+" lines "${code}")
  list(LENGTH lines count)
  if(count LESS 10)
    message(FATAL_ERROR "ivado: ${function} has ${count} instructions, too few for what it does:\n${code}")
  endif()
  set(${result} "${code}" PARENT_SCOPE)
  set(count ${count} PARENT_SCOPE)
endfunction()

instructions_of(with_stage_timer timed)
instructions_of(with_no_profiler without)
instructions_of(by_hand hand)
if(NOT without STREQUAL hand)
  message(FATAL_ERROR "ivado: NoProfiler is not free. With it:\n${without}\nBy hand:\n${hand}")
endif()
if(timed STREQUAL hand)
  message(FATAL_ERROR "ivado: the comparison sees no difference where there is one, with StageTimer")
endif()
message(STATUS "the same ${count} instructions with NoProfiler and by hand")
