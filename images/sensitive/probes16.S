#define BITS 16
#include "probes.inc"
