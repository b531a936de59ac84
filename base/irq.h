/* An interrupt line: whoever drives it knows only this. */
#ifndef BASE_IRQ_H
#define BASE_IRQ_H

struct irq_line {
    void (*set)(void *opaque, int number, int level); /* NULL: not connected */
    void *opaque;
    int number;
};

/* Drives the line to `level` (0 or 1); an unconnected line is silent. */
static inline void irq_set(const struct irq_line *line, int level)
{
    if (line->set)
        line->set(line->opaque, line->number, level);
}

#endif
