/* Blocks with guest and host code side by side, as traces and the logs in_asm and out_asm show
 * them:
 *
 *     = ffffffff81000120  4889d8            mov rax, rbx             | 0001  mov rax, rbx
 *     ~ ffffffff81000123  488b03            mov rax, qword ptr [rbx] | 0004  lea r8, [rbx]
 *                                                                    | 0007  mov rax, qword ptr
 * [r8]
 */
#ifndef TRANSLATE_LISTING_H
#define TRANSLATE_LISTING_H

#include "translate/disassemble.h"
#include "translate/trace_file.h"

enum listing_sides { LISTING_GUEST = 1, LISTING_HOST = 2, LISTING_BOTH = 3 };

struct listing {
    FILE *out;
    struct disassembler *disassembler;
    enum listing_sides sides;
    char *const *row_names; /* by number; NULL: this version's */
};

/* "block 3: linear …, 64-bit" and, without the newline, "  4 instructions, …". */
void listing_heading(FILE *out, const struct trace_block *block);
/* The code.  Host addresses are relative to the block's first host byte. */
void listing_code(const struct listing *listing, const struct trace_block *block);
/* The block on the log, if in_asm or out_asm is on. */
void listing_log(const struct trace_block *block);

#endif
