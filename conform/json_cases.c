#include "conform/json_cases.h"

#include "conform/processor.h"

#include <errno.h>
#include <stdlib.h>

/* --- fields: one line with file, case and field */

struct place {
    const struct json_cases *json;
    unsigned index; /* of the case, from 0 */
    struct error *error;
};

static int wrong(const struct place *at, const char *state, const char *field, const char *what)
{
    return error_set(at->error, EINVAL, "%s: case %u: %s%s%s: %s", at->json->file->path, at->index,
                     state, *state ? "." : "", field, what);
}

static int out_of_memory(const struct place *at)
{
    return error_set(at->error, ENOMEM, "%s: no memory left for it", at->json->file->path);
}

/* json_is_object() or json_is_array() as a type, and its name for people. */
static int get(const struct place *at, const json_t *from, const char *state, const char *field,
               json_type type, json_t **value)
{
    *value = json_object_get(from, field);
    if (!*value)
        return wrong(at, state, field, "missing");
    if (json_typeof(*value) != type)
        return wrong(at, state, field, type == JSON_ARRAY ? "not a list" : "not an object");
    return 0;
}

static bool get_number(const json_t *value, uint64_t max, uint32_t *number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > max)
        return false;
    *number = (uint32_t)json_integer_value(value);
    return true;
}

/* --- registers */

struct name {
    const char *text;
    uint8_t number;
};

static const struct name names_16[] = {
    {"ax", VR_EAX}, {"bx", VR_EBX}, {"cx", VR_ECX}, {"dx", VR_EDX},       {"cs", VR_CS},
    {"ss", VR_SS},  {"ds", VR_DS},  {"es", VR_ES},  {"sp", VR_ESP},       {"bp", VR_EBP},
    {"si", VR_ESI}, {"di", VR_EDI}, {"ip", VR_EIP}, {"flags", VR_EFLAGS},
};

static const struct name names_32[] = {
    {"eax", VR_EAX},
    {"ebx", VR_EBX},
    {"ecx", VR_ECX},
    {"edx", VR_EDX},
    {"esi", VR_ESI},
    {"edi", VR_EDI},
    {"ebp", VR_EBP},
    {"esp", VR_ESP},
    {"cs", VR_CS},
    {"ds", VR_DS},
    {"es", VR_ES},
    {"fs", VR_FS},
    {"gs", VR_GS},
    {"ss", VR_SS},
    {"eip", VR_EIP},
    {"eflags", VR_EFLAGS},
    /* not in every set */
    {"cr0", VR_CR0},
    {"cr3", VR_CR3},
    {"dr6", VR_DR6},
    {"dr7", VR_DR7},
};
enum { NEEDED_32 = 16 };

static bool is_32(const json_t *regs)
{
    return json_object_get(regs, "eax") || json_object_get(regs, "eip") ||
           json_object_get(regs, "eflags");
}

static int read_registers(const struct place *at, const json_t *from, const char *state, bool wide,
                          bool whole, struct vector_registers *registers)
{
    const struct name *names = wide ? names_32 : names_16;
    unsigned count = wide ? ARRAY_LENGTH(names_32) : ARRAY_LENGTH(names_16);
    unsigned needed = wide ? NEEDED_32 : count, found = 0;

    for (unsigned i = 0; i < count; i++) {
        char field[16];
        uint32_t value;
        const json_t *json = json_object_get(from, names[i].text);
        snprintf(field, sizeof field, "regs.%s", names[i].text);
        if (!json && whole && i < needed)
            return wrong(at, state, field, "missing");
        if (!json)
            continue;
        if (!get_number(json, wide ? UINT32_MAX : UINT16_MAX, &value))
            return wrong(at, state, field, "not a number that the register can hold");
        registers->present |= 1u << names[i].number;
        registers->value[names[i].number] = value;
        found++;
    }
    if (found != json_object_size(from))
        return wrong(at, state, "regs", "there is a register that ring3 does not know");
    return 0;
}

/* --- memory */

static int read_memory(const struct place *at, const json_t *from, const char *state,
                       uint8_t **buffer, struct vector_memory *memory)
{
    size_t count = json_array_size(from);
    uint8_t *entries = realloc(*buffer, count * VECTOR_MEMORY_ENTRY + 1);

    if (!entries)
        return out_of_memory(at);
    *buffer = entries;
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(from, i);
        uint32_t address, value;
        if (json_array_size(pair) != 2 ||
            !get_number(json_array_get(pair, 0), UINT32_MAX, &address) ||
            !get_number(json_array_get(pair, 1), UINT8_MAX, &value)) {
            char field[32];
            snprintf(field, sizeof field, "ram[%zu]", i);
            return wrong(at, state, field, "not an address and a byte");
        }
        memcpy(entries + i * VECTOR_MEMORY_ENTRY, &address, sizeof address);
        entries[i * VECTOR_MEMORY_ENTRY + 4] = (uint8_t)value;
    }
    *memory = (struct vector_memory){.entries = entries, .count = (uint32_t)count};
    return 0;
}

/* --- a case */

static int read_state(const struct place *at, const json_t *from, const char *name, bool wide,
                      uint8_t **buffer, struct vector_state *state)
{
    json_t *whole, *regs, *ram;
    bool is_initial = !strcmp(name, "initial");
    int result = get(at, from, "", name, JSON_OBJECT, &whole);

    if (!result)
        result = get(at, whole, name, "regs", JSON_OBJECT, &regs);
    if (!result)
        result = read_registers(at, regs, name, wide, is_initial, &state->registers);
    if (!result)
        result = get(at, whole, name, "ram", JSON_ARRAY, &ram);
    if (!result)
        result = read_memory(at, ram, name, buffer, &state->memory);
    return result;
}

static int read_bytes(struct place *at, struct json_cases *json, struct test_case *test)
{
    json_t *list;
    int result = get(at, json->present, "", "bytes", JSON_ARRAY, &list);

    if (result)
        return result;
    test->byte_count = (uint32_t)json_array_size(list);
    uint8_t *bytes = realloc(json->bytes, (size_t)test->byte_count + 1);
    if (!bytes)
        return out_of_memory(at);
    json->bytes = bytes;
    for (uint32_t i = 0; i < test->byte_count; i++) {
        uint32_t value;
        if (!get_number(json_array_get(list, i), UINT8_MAX, &value))
            return wrong(at, "", "bytes", "not a list of bytes");
        bytes[i] = (uint8_t)value;
    }
    test->bytes = bytes;
    return 0;
}

static int read_exception(const struct place *at, const json_t *from, struct test_case *test)
{
    json_t *exception = json_object_get(from, "exception");
    uint32_t number;

    if (!exception || json_is_null(exception))
        return 0;
    if (!get_number(json_object_get(exception, "number"), UINT8_MAX, &number))
        return wrong(at, "exception", "number", "missing, or not a vector");
    test->has_exception = true;
    test->exception = (uint8_t)number;
    return 0;
}

static void read_name(const struct json_cases *json, struct test_case *test)
{
    const json_t *name = json_object_get(json->present, "name");
    const json_t *index = json_object_get(json->present, "idx");

    test->name = json_string_value(name);
    test->name_length = (uint32_t)json_string_length(name);
    if (!index)
        index = json_object_get(json->present, "test_num"); /* as the older sets have it */
    if (!get_number(index, UINT32_MAX, &test->index))
        test->index = json->count - 1;
}

static int read_case(struct json_cases *json, struct test_case *test, struct error *error)
{
    struct place at = {.json = json, .index = json->count - 1, .error = error};

    *test = (struct test_case){0};
    if (!json_is_object(json->present))
        return error_set(error, EINVAL, "%s: case %u: not an object", json->file->path, at.index);
    read_name(json, test);
    bool wide = is_32(json_object_get(json_object_get(json->present, "initial"), "regs"));
    int result = read_bytes(&at, json, test);
    if (!result)
        result = read_state(&at, json->present, "initial", wide, &json->memory[0], &test->initial);
    if (!result)
        result = read_state(&at, json->present, "final", wide, &json->memory[1], &test->final);
    if (!result)
        result = read_exception(&at, json->present, test);
    return result;
}

/* --- the file */

static char skip_space(struct json_cases *json)
{
    const char *text = (const char *)json->file->bytes;
    json->next += strspn(text + json->next, " \t\r\n");
    return text[json->next];
}

static enum read_result damaged(struct json_cases *json, struct error *error, size_t offset,
                                const char *what)
{
    error_set(error, EINVAL, "%s: damaged at offset %zu, in case %u: %s", json->file->path, offset,
              json->count, what);
    json->next = json->file->size;
    json->ended = true;
    return READ_DAMAGED;
}

/* Takes the next case out of the text. */
static enum read_result take(struct json_cases *json, struct error *error)
{
    const struct file_bytes *file = json->file;
    json_error_t problem;

    json_decref(json->present);
    json->present = NULL;
    if (json->ended)
        return READ_END;
    char next = skip_space(json);
    if (json->next >= file->size)
        return damaged(json, error, json->next, "it ends before its ']'");
    if (next == ']') {
        json->ended = true;
        json->next++;
        skip_space(json);
        if (json->next < file->size)
            return damaged(json, error, json->next, "something follows the list of cases");
        return READ_END;
    }
    if (json->count && next != ',')
        return damaged(json, error, json->next, "neither ',' nor ']' after a case");
    json->next += json->count > 0;
    skip_space(json);
    const char *text = (const char *)file->bytes + json->next;
    json->present = json_loadb(text, file->size - json->next,
                               JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &problem);
    if (!json->present)
        return damaged(json, error, json->next + (size_t)problem.position, problem.text);
    json->next += (size_t)problem.position;
    json->count++;
    return READ_CASE;
}

enum read_result json_cases_next(struct json_cases *json, struct test_case *test,
                                 struct error *error)
{
    enum read_result result = take(json, error);

    if (result != READ_CASE)
        return result;
    return read_case(json, test, error) ? READ_DAMAGED : READ_CASE;
}

/* The registers of the first case that has any. */
static bool first_is_32(const struct json_cases *whole)
{
    struct json_cases json = *whole;
    struct error error;

    bool wide = take(&json, &error) == READ_CASE &&
                is_32(json_object_get(json_object_get(json.present, "initial"), "regs"));
    json_decref(json.present);
    return wide;
}

int json_cases_open(struct json_cases *json, const struct file_bytes *file, struct error *error)
{
    *json = (struct json_cases){.file = file};
    if (skip_space(json) != '[')
        return error_set(error, EINVAL, "%s: not a list of cases", file->path);
    json->next++;
    const struct processor *processor = processor_by_path(file->path);
    json->cpu = first_is_32(json) ? "386" : processor ? processor->ids[0] : "";
    return 0;
}

void json_cases_close(struct json_cases *json)
{
    json_decref(json->present);
    free(json->bytes);
    free(json->memory[0]);
    free(json->memory[1]);
}
