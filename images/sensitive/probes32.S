#define BITS 32
#include "probes.inc"
