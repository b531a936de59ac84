/* What the compiler calls by itself in freestanding code. */
#include <stddef.h>

int memcmp(const void *left, const void *right, size_t size);
void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

int memcmp(const void *left, const void *right, size_t size)
{
    const unsigned char *a = left, *b = right;

    for (; size > 0; size--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

void *memcpy(void *to, const void *from, size_t size)
{
    unsigned char *a = to;
    const unsigned char *b = from;

    while (size-- > 0)
        *a++ = *b++;
    return to;
}

void *memset(void *to, int value, size_t size)
{
    unsigned char *a = to;

    while (size-- > 0)
        *a++ = value;
    return to;
}
