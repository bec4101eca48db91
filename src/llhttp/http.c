/* A part of llhttp, where the system has it as sources only: compiled from where they are (LLHTTP_SOURCES). */
#include <http.c>
