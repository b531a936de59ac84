#include "translate/disassemble.h"
#include "cpu/cpu.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct disassembler {
    csh capstone;
    unsigned code_size;
};

static cs_mode capstone_mode(unsigned code_size)
{
    return code_size == CODE_16 ? CS_MODE_16 : code_size == CODE_32 ? CS_MODE_32 : CS_MODE_64;
}

int disassembler_new(struct disassembler **disassembler, struct error *error)
{
    struct disassembler *new = calloc(1, sizeof *new);

    *disassembler = NULL;
    if (!new || cs_open(CS_ARCH_X86, CS_MODE_64, &new->capstone)) {
        free(new);
        return error_set(error, ENOMEM, "the disassembler does not start: out of memory");
    }
    new->code_size = CODE_64;
    *disassembler = new;
    return 0;
}

void disassembler_free(struct disassembler *disassembler)
{
    if (!disassembler)
        return;
    cs_close(&disassembler->capstone);
    free(disassembler);
}

unsigned disassemble(struct disassembler *disassembler, unsigned code_size, const uint8_t *bytes,
                     size_t available, uint64_t address, char text[DISASSEMBLY_TEXT])
{
    cs_insn *insn = NULL;

    if (disassembler->code_size != code_size) {
        cs_option(disassembler->capstone, CS_OPT_MODE, capstone_mode(code_size));
        disassembler->code_size = code_size;
    }
    if (!cs_disasm(disassembler->capstone, bytes, available, address, 1, &insn)) {
        snprintf(text, DISASSEMBLY_TEXT, "(bad)");
        return 1;
    }
    unsigned length = insn->size;
    snprintf(text, DISASSEMBLY_TEXT, "%s%s%s", insn->mnemonic, insn->op_str[0] ? " " : "",
             insn->op_str);
    cs_free(insn, 1);
    return length;
}

void disassemble_lines(struct disassembler *disassembler, FILE *out, const char *margin,
                       unsigned code_size, const uint8_t *bytes, size_t count, uint64_t address)
{
    enum { BYTE_COLUMNS = 10 };

    for (size_t at = 0; at < count;) {
        char text[DISASSEMBLY_TEXT];
        unsigned length =
            disassemble(disassembler, code_size, bytes + at, count - at, address + at, text);
        fprintf(out, "%s%016" PRIx64 ": ", margin, address + at);
        for (unsigned i = 0; i < length; i++)
            fprintf(out, " %02x", bytes[at + i]);
        fprintf(out, "%*s  %s\n", length < BYTE_COLUMNS ? 3 * (BYTE_COLUMNS - (int)length) : 0, "",
                text);
        at += length;
    }
}

void disassemble_host_lines(struct disassembler *disassembler, FILE *out, const char *margin,
                            const uint8_t *bytes, size_t count, uint64_t address)
{
    disassemble_lines(disassembler, out, margin, CODE_64, bytes, count, address);
}
