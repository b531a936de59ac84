#include "conform/r3v.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 4096 };

static int wrong(const struct r3v *r3v, struct error *error, const char *word, const char *what)
{
    return error_set(error, EINVAL, "%s: damaged at offset %zu, line %u: %.40s%s%s",
                     r3v->file->path, r3v->at, r3v->line, word, *word ? ": " : "", what);
}

/* --- lines and words */

/* 1: `text` is the next line; 0: there is none; negative: it is too long. */
static int next_line(struct r3v *r3v, char text[LINE_MAX_BYTES], struct error *error)
{
    const uint8_t *begin = r3v->file->bytes + r3v->next;
    size_t left = r3v->file->size - r3v->next;

    if (!left)
        return 0;
    const uint8_t *end = memchr(begin, '\n', left);
    size_t length = end ? (size_t)(end - begin) : left;
    r3v->at = r3v->next;
    r3v->next += length + (end != NULL);
    r3v->line++;
    if (length >= LINE_MAX_BYTES)
        return wrong(r3v, error, "", "a line of more than 4095 bytes");
    memcpy(text, begin, length);
    text[length] = 0;
    if (strlen(text) != length)
        return wrong(r3v, error, "", "a byte that is no text");
    text[strcspn(text, "\r")] = 0;
    return 1;
}

/* Takes a word off the front of *rest; NULL: no more. */
static char *next_word(char **rest)
{
    char *word;

    do
        word = strsep(rest, " \t");
    while (word && !*word);
    return word;
}

/* A line that says something; a comment says nothing.  As next_line(). */
static int next_words(struct r3v *r3v, char text[LINE_MAX_BYTES], char **keyword, char **rest,
                      struct error *error)
{
    int result;

    while ((result = next_line(r3v, text, error)) > 0) {
        *rest = text;
        *keyword = next_word(rest);
        if (*keyword && **keyword != '#')
            break;
    }
    return result;
}

static bool hex_digit(char digit, unsigned *value)
{
    if (!isxdigit((unsigned char)digit))
        return false;
    *value = isdigit((unsigned char)digit) ? (unsigned)(digit - '0')
                                           : (unsigned)(tolower((unsigned char)digit) - 'a' + 10);
    return true;
}

/* A hexadecimal number of at most `bytes` bytes. */
static bool read_value(const char *text, unsigned bytes, union state_value *value)
{
    size_t length = strlen(text);

    *value = (union state_value){0};
    if (!length)
        return false;
    for (unsigned i = 0; length; i++) {
        unsigned digit;
        if (!hex_digit(text[--length], &digit) || (i >= bytes * 2 && digit))
            return false;
        if (i < bytes * 2)
            value->bytes[i / 2] |= (uint8_t)(digit << (i & 1) * 4);
    }
    return true;
}

static bool read_number(const char *text, unsigned bytes, uint64_t *number)
{
    union state_value value;

    if (!read_value(text, bytes, &value))
        return false;
    *number = value.word[0];
    return true;
}

static bool read_decimal(const char *text, unsigned max, unsigned *number)
{
    int end = 0;
    return text && isdigit((unsigned char)*text) && sscanf(text, "%5u%n", number, &end) == 1 &&
           !text[end] && *number <= max;
}

/* --- what a line can say: each takes the rest of the line */

typedef int say_fn(struct r3v *r3v, char *rest, struct error *error);

static int say_see(struct r3v *r3v, char *rest, struct error *error)
{
    if (!rest || strlen(rest) >= CASE_TEXT_MAX)
        return wrong(r3v, error, "see", "no text, or more than 159 bytes");
    memcpy(r3v->present.see, rest, strlen(rest) + 1);
    return 0;
}

static int say_mode(struct r3v *r3v, char *rest, struct error *error)
{
    struct state_case *c = &r3v->present;
    char *name = next_word(&rest), *cpl = next_word(&rest), *level = next_word(&rest);

    if (c->preset != PRESETS || state_fields_any(&c->given))
        return wrong(r3v, error, "mode", "is there twice, or not before init");
    c->preset = preset_by_name(name ? name : "");
    if (c->preset == PRESETS)
        return wrong(r3v, error, "mode",
                     "real, v86, protected16, protected32, paged32, compatibility or long");
    c->cpl = c->preset == PRESET_V86 ? 3 : 0;
    if ((cpl && (strcmp(cpl, "cpl") || !read_decimal(level, 3, &c->cpl))) || next_word(&rest) ||
        !preset_takes_cpl(c->preset, c->cpl))
        return wrong(r3v, error, "mode", "behind it comes nothing, or 'cpl 3' where there is one");
    preset_state(c->preset, c->cpl, &c->initial);
    return 0;
}

/* A byte's two digits after another. */
static int read_bytes(struct r3v *r3v, char *rest, uint8_t *bytes, unsigned max, unsigned *count,
                      struct error *error)
{
    for (const char *word; (word = next_word(&rest));)
        for (; *word; word += 2) {
            unsigned high, low;
            if (!hex_digit(word[0], &high) || !hex_digit(word[1], &low))
                return wrong(r3v, error, word, "not bytes of two hexadecimal digits");
            if (*count == max)
                return wrong(r3v, error, word, "too many bytes");
            bytes[(*count)++] = (uint8_t)(high << 4 | low);
        }
    return *count ? 0 : wrong(r3v, error, "", "no bytes");
}

static int say_needs(struct r3v *r3v, char *rest, struct error *error)
{
    char *name = next_word(&rest);

    if (!name)
        return wrong(r3v, error, "needs", "names no feature");
    for (; name; name = next_word(&rest)) {
        enum feature feature = feature_by_name(name);
        if (feature == FEATURE_COUNT)
            return wrong(r3v, error, name, "no such feature; ring3 run -cpu help lists them");
        feature_add(&r3v->present.needs, feature);
    }
    return 0;
}

static int say_code(struct r3v *r3v, char *rest, struct error *error)
{
    struct state_case *c = &r3v->present;
    return read_bytes(r3v, rest, c->code, sizeof c->code, &c->code_length, error);
}

/* name=value … */
static int read_fields(struct r3v *r3v, char *rest, struct state *state, struct state_fields *set,
                       bool or_name_alone, struct error *error)
{
    for (char *word; (word = next_word(&rest));) {
        char *value = word, *name = strsep(&value, "=");
        unsigned field = state_field_by_name(name);
        if (field == STATE_FIELDS)
            return wrong(r3v, error, name, "no such field");
        if (!value && or_name_alone)
            memset(state->value[field].bytes, 0xff, state_field_bytes(field));
        else if (!value || !read_value(value, state_field_bytes(field), &state->value[field]))
            return wrong(r3v, error, name, "no hexadecimal number that it can hold");
        state_fields_add(set, field);
    }
    return 0;
}

static int say_init(struct r3v *r3v, char *rest, struct error *error)
{
    struct state_case *c = &r3v->present;

    if (c->preset == PRESETS)
        return wrong(r3v, error, "init", "mode comes first");
    return read_fields(r3v, rest, &c->initial, &c->given, false, error);
}

static int say_expect(struct r3v *r3v, char *rest, struct error *error)
{
    struct state_case *c = &r3v->present;
    return read_fields(r3v, rest, &c->final, &c->expected, false, error);
}

static int say_ignore(struct r3v *r3v, char *rest, struct error *error)
{
    struct state_fields set = {0};
    return read_fields(r3v, rest, &r3v->present.ignored, &set, true, error);
}

static int memory_add(struct r3v *r3v, struct case_memory *memory, uint64_t address, uint8_t value,
                      struct error *error)
{
    if (address >= BARE_RAM_BYTES)
        return wrong(r3v, error, "", "an address beyond the 16 MiB that a case has");
    if (memory->count == memory->room) {
        uint32_t room = memory->room ? memory->room * 2 : 64;
        struct case_byte *bytes =
            room <= CASE_MEMORY_MAX ? realloc(memory->bytes, room * sizeof *bytes) : NULL;
        if (!bytes)
            return wrong(r3v, error, "", "too much memory in one case");
        memory->bytes = bytes;
        memory->room = room;
    }
    memory->bytes[memory->count++] =
        (struct case_byte){.address = (uint32_t)address, .value = value};
    return 0;
}

/* An address, then numbers of `unit` bytes, or bytes one after the other. */
static int read_memory(struct r3v *r3v, char *rest, struct case_memory *memory, unsigned unit,
                       struct error *error)
{
    uint8_t bytes[LINE_MAX_BYTES / 2];
    unsigned count = 0;
    uint64_t address;
    char *word = next_word(&rest);

    if (!word || !read_number(word, 4, &address))
        return wrong(r3v, error, word ? word : "", "no address");
    if (unit == 1) {
        int result = read_bytes(r3v, rest, bytes, sizeof bytes, &count, error);
        if (result)
            return result;
    }
    while (unit > 1 && (word = next_word(&rest))) {
        union state_value value;
        if (!read_value(word, unit, &value))
            return wrong(r3v, error, word, "no hexadecimal number of that size");
        memcpy(bytes + count, value.bytes, unit);
        count += unit;
    }
    if (!count)
        return wrong(r3v, error, "", "nothing behind the address");
    for (unsigned i = 0; i < count; i++) {
        int result = memory_add(r3v, memory, address + i, bytes[i], error);
        if (result)
            return result;
    }
    return 0;
}

static int say_memory(struct r3v *r3v, char *rest, struct error *error)
{
    return read_memory(r3v, rest, &r3v->present.initial_memory, 1, error);
}

static int say_dword(struct r3v *r3v, char *rest, struct error *error)
{
    return read_memory(r3v, rest, &r3v->present.initial_memory, 4, error);
}

static int say_quad(struct r3v *r3v, char *rest, struct error *error)
{
    return read_memory(r3v, rest, &r3v->present.initial_memory, 8, error);
}

static int say_expect_memory(struct r3v *r3v, char *rest, struct error *error)
{
    return read_memory(r3v, rest, &r3v->present.final_memory, 1, error);
}

static int say_expect_dword(struct r3v *r3v, char *rest, struct error *error)
{
    return read_memory(r3v, rest, &r3v->present.final_memory, 4, error);
}

static int say_expect_quad(struct r3v *r3v, char *rest, struct error *error)
{
    return read_memory(r3v, rest, &r3v->present.final_memory, 8, error);
}

static int say_exception(struct r3v *r3v, char *rest, struct error *error)
{
    struct case_exception *exception = &r3v->present.exception;
    unsigned vector;

    if (!read_decimal(next_word(&rest), 31, &vector))
        return wrong(r3v, error, "exception", "no vector from 0 to 31");
    *exception = (struct case_exception){.expected = true, .vector = (uint8_t)vector};
    for (char *word; (word = next_word(&rest));) {
        char *text = word, *name = strsep(&text, "=");
        uint64_t value;
        if (!text || !read_number(text, strcmp(name, "error") ? 8 : 4, &value))
            return wrong(r3v, error, name, "no hexadecimal number that it can hold");
        if (!strcmp(name, "error")) {
            exception->has_error = true;
            exception->error = (uint32_t)value;
        } else if (!strcmp(name, "address")) {
            exception->has_address = true;
            exception->address = value;
        } else if (!strcmp(name, "dr6")) {
            exception->has_dr6 = true;
            exception->dr6 = value;
        } else {
            return wrong(r3v, error, name, "an exception has error, address and dr6");
        }
    }
    return 0;
}

static int say_steps(struct r3v *r3v, char *rest, struct error *error)
{
    if (!read_decimal(next_word(&rest), CASE_STEPS_MAX, &r3v->present.steps) || !r3v->present.steps)
        return wrong(r3v, error, "steps", "1 to 1000");
    return 0;
}

static int say_deliver(struct r3v *r3v, char *rest, struct error *error)
{
    r3v->present.delivers = true;
    return 0;
}

static const struct {
    const char *keyword;
    say_fn *say;
} lines[] = {
    {"see", say_see},
    {"mode", say_mode},
    {"needs", say_needs},
    {"code", say_code},
    {"init", say_init},
    {"memory", say_memory},
    {"dword", say_dword},
    {"quad", say_quad},
    {"steps", say_steps},
    {"deliver", say_deliver},
    {"exception", say_exception},
    {"expect", say_expect},
    {"expect-memory", say_expect_memory},
    {"expect-dword", say_expect_dword},
    {"expect-quad", say_expect_quad},
    {"ignore", say_ignore},
};

/* --- a case */

static void case_begin(struct r3v *r3v, const char *name)
{
    struct state_case *c = &r3v->present;
    struct case_memory initial = c->initial_memory, final = c->final_memory;

    initial.count = final.count = 0;
    *c = (struct state_case){.preset = PRESETS,
                             .steps = 1,
                             .initial_memory = initial,
                             .final_memory = final,
                             .line = r3v->line};
    snprintf(c->name, sizeof c->name, "%s", name);
}

/* What the file leaves out. */
static int case_complete(struct r3v *r3v, struct error *error)
{
    struct state_case *c = &r3v->present;

    if (c->preset == PRESETS || !c->code_length)
        return wrong(r3v, error, "end", "the case has no mode, or no code");
    uint64_t at = state_case_code_at(c);
    if (at > BARE_RAM_BYTES - c->code_length)
        return wrong(r3v, error, "end", "the code is not in the 16 MiB that a case has");
    for (unsigned field = 0; field < STATE_FIELDS; field++)
        if (!state_fields_has(&c->expected, field))
            c->final.value[field] = c->initial.value[field];
    if (!state_fields_has(&c->expected, SF_RIP) && !c->exception.expected)
        c->final.value[SF_RIP].word[0] += c->code_length;
    return 0;
}

static int read_line(struct r3v *r3v, const char *keyword, char *rest, struct error *error)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(lines); i++)
        if (!strcmp(lines[i].keyword, keyword))
            return lines[i].say(r3v, rest, error);
    return wrong(r3v, error, keyword, "no such line; FORMAT.md lists them");
}

/* The lines from behind `case` to `end`. */
static int read_case(struct r3v *r3v, struct error *error)
{
    char text[LINE_MAX_BYTES], *keyword, *rest;

    for (;;) {
        size_t before = r3v->next;
        unsigned line = r3v->line;
        int result = next_words(r3v, text, &keyword, &rest, error);
        if (result < 0)
            return result;
        if (!result)
            return wrong(r3v, error, "", "it ends within a case");
        if (!strcmp(keyword, "end"))
            return case_complete(r3v, error);
        if (!strcmp(keyword, "case")) {
            r3v->next = before; /* that one may be whole */
            r3v->line = line;
            return wrong(r3v, error, "case", "the one before has no end");
        }
        result = read_line(r3v, keyword, rest, error);
        if (result)
            return result;
    }
}

/* --- the file */

enum read_result r3v_next(struct r3v *r3v, struct error *error)
{
    char text[LINE_MAX_BYTES], *keyword, *rest;
    int result;

    while ((result = next_words(r3v, text, &keyword, &rest, error)) != 0) {
        if (result > 0 && !strcmp(keyword, "case")) {
            case_begin(r3v, rest ? rest : "");
            r3v->lost = read_case(r3v, error) < 0;
            return r3v->lost ? READ_DAMAGED : READ_CASE;
        }
        if (r3v->lost)
            continue;
        r3v->lost = true;
        if (result > 0)
            wrong(r3v, error, keyword, "a case begins with 'case'");
        return READ_DAMAGED;
    }
    return READ_END;
}

int r3v_open(struct r3v *r3v, const struct file_bytes *file, struct error *error)
{
    size_t head = strlen(R3V_HEAD);

    *r3v = (struct r3v){.file = file, .line = 1};
    if (file->size < head || memcmp(file->bytes, R3V_HEAD, head) ||
        (file->size > head && !strchr("\r\n", file->bytes[head])))
        return error_set(error, EINVAL,
                         "%s: ring3 reads version 1: the first line is '" R3V_HEAD "'", file->path);
    const uint8_t *end = memchr(file->bytes, '\n', file->size);
    r3v->next = end ? (size_t)(end - file->bytes) + 1 : file->size;
    return 0;
}

void r3v_close(struct r3v *r3v)
{
    state_case_free(&r3v->present);
}
