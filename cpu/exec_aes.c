/* AES-NI, PCLMULQDQ and SHA: SDM 2A and 2B, each run on the host's own. */
#include "cpu/lanes.h"

#define CRYPT(NAME, name) SSE_BINARY(NAME##_VxWx, name, a)
CRYPT(AESENC, "aesenc")
CRYPT(AESENCLAST, "aesenclast")
CRYPT(AESDEC, "aesdec")
CRYPT(AESDECLAST, "aesdeclast")
CRYPT(AESIMC, "aesimc")
CRYPT(SHA1NEXTE, "sha1nexte")
CRYPT(SHA1MSG1, "sha1msg1")
CRYPT(SHA1MSG2, "sha1msg2")
CRYPT(SHA256MSG1, "sha256msg1")
CRYPT(SHA256MSG2, "sha256msg2")

SSE_IMMEDIATE(AESKEYGENASSIST_VxWxIb, key_assist, a)
SSE_IMMEDIATE(PCLMULQDQ_VxWxIb, multiply_carryless, a)

LANE_IMMEDIATE(sha1_rounds, "sha1rnds4", LANE_UNARY, 4)
SSE_IMMEDIATE(SHA1RNDS4_VxWxIb, sha1_rounds, a)
SSE_FORMS(SHA256RNDS2_VxWx, SSE_ASM_XMM0, "sha256rnds2", a)
