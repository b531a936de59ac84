#define BITS 64
#include "probes.inc"
