#include "translate/translating.h"
bool translate_avx(struct translating *t) { return false; }
