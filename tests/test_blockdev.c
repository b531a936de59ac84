/* hw/blockdev: raw images, read-only, snapshots, odd lengths, what cannot be opened. */
#include "tests/device_rig.h"

static struct error error;

static void file_bytes(const char *path, uint64_t offset, uint8_t *to, size_t length)
{
    int fd = open(path, O_RDONLY);
    cr_assert_eq(pread(fd, to, length, (off_t)offset), (ssize_t)length);
    close(fd);
}

Test(blockdev, raw_reads_and_writes_the_file)
{
    char path[64];
    uint8_t bytes[3000];
    image_create(path, 1 << 20);
    struct blockdev *image = image_open(path, 0);
    cr_assert_eq(image->bytes, 1 << 20);
    cr_assert_eq(blockdev_read(image, 1000, bytes, sizeof bytes), 0);
    cr_assert(image_matches(bytes, 1000, sizeof bytes));
    memset(bytes, 0x5a, sizeof bytes);
    cr_assert_eq(blockdev_write(image, 4096, bytes, 512), 0);
    cr_assert_eq(blockdev_flush(image), 0);
    file_bytes(path, 4096, bytes + 600, 512);
    cr_assert(!memcmp(bytes, bytes + 600, 512));
    cr_assert_eq(blockdev_read(image, (1 << 20) - 511, bytes, 512), -ERANGE);
    cr_assert_eq(blockdev_read(image, UINT64_MAX, bytes, 512), -ERANGE);
    cr_assert_eq(blockdev_write(image, 1 << 20, bytes, 1), -ERANGE);
    cr_assert_eq(blockdev_read(image, 1 << 20, bytes, 0), 0);
    blockdev_close(image);
    unlink(path);
}

Test(blockdev, read_only_writes_nothing)
{
    char path[64];
    uint8_t bytes[512] = {0};
    image_create(path, 8192);
    cr_assert_eq(chmod(path, 0444), 0);
    struct blockdev *image = image_open(path, BLOCKDEV_READ_ONLY);
    cr_assert_eq(blockdev_write(image, 0, bytes, sizeof bytes), -EROFS);
    blockdev_close(image);
    file_bytes(path, 0, bytes, sizeof bytes);
    cr_assert(image_matches(bytes, 0, sizeof bytes));
    unlink(path);
}

/* Thousands of random reads and writes against a plain array; the image stays as it was. */
Test(blockdev, snapshot_leaves_the_image_untouched)
{
    enum { BYTES = 300 * 1024 + 512, LENGTH_MAX = 70000 };
    static uint8_t model[BYTES], part[LENGTH_MAX], original[BYTES];
    char path[64];
    image_create(path, BYTES);
    file_bytes(path, 0, model, BYTES);
    memcpy(original, model, BYTES);
    struct blockdev *image = image_open(path, BLOCKDEV_SNAPSHOT);
    uint64_t seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t offset = device_rig_random(&seed) % BYTES;
        size_t length = device_rig_random(&seed) % (round % 10 ? 3000 : LENGTH_MAX);
        if (length > BYTES - offset)
            length = BYTES - offset;
        if (device_rig_random(&seed) & 1) {
            for (size_t i = 0; i < length; i++)
                part[i] = (uint8_t)device_rig_random(&seed);
            memcpy(model + offset, part, length);
            cr_assert_eq(blockdev_write(image, offset, part, length), 0);
        } else {
            cr_assert_eq(blockdev_read(image, offset, part, length), 0);
            cr_assert(!memcmp(part, model + offset, length), "round %u offset %lu", round, offset);
        }
    }
    cr_assert_eq(blockdev_flush(image), 0);
    blockdev_close(image);
    file_bytes(path, 0, model, BYTES);
    cr_assert(!memcmp(model, original, BYTES));
    unlink(path);
}

Test(blockdev, odd_length_is_padded_with_zeros)
{
    char path[64];
    uint8_t bytes[1024];
    image_create(path, 700);
    struct blockdev *image = image_open(path, 0);
    cr_assert_eq(image->bytes, 1024);
    cr_assert_eq(blockdev_sectors(image), 2);
    memset(bytes, 0xff, sizeof bytes);
    cr_assert_eq(blockdev_read(image, 0, bytes, 1024), 0);
    cr_assert(image_matches(bytes, 0, 700));
    for (unsigned i = 700; i < 1024; i++)
        cr_assert_eq(bytes[i], 0);
    bytes[1023] = 9;
    cr_assert_eq(blockdev_write(image, 512, bytes + 512, 512), 0);
    cr_assert_eq(blockdev_read(image, 1023, bytes, 1), 0);
    cr_assert_eq(bytes[0], 9);
    blockdev_close(image);
    unlink(path);
}

Test(blockdev, a_file_cut_short_under_us_is_an_error)
{
    char path[64];
    uint8_t bytes[512];
    image_create(path, 8192);
    struct blockdev *image = image_open(path, 0);
    cr_assert_eq(truncate(path, 4096), 0);
    cr_assert_eq(blockdev_read(image, 0, bytes, 512), 0);
    cr_assert_eq(blockdev_read(image, 4096, bytes, 512), -EIO);
    cr_assert_eq(image->host_errors, 1);
    blockdev_close(image);
    unlink(path);
}

Test(blockdev, what_cannot_be_opened_says_why)
{
    static const struct {
        const char *contents;
        size_t length;
        const char *format, *wanted;
        int status;
    } cases[] = {
        {"", 0, NULL, "is empty", -EINVAL},
        {"QFI\xfb", 4, NULL, "is a qcow2 image", -EINVAL},
        {"KDMV", 4, NULL, "is a vmdk image", -EINVAL},
        {"conectix", 8, NULL, "is a vpc image", -EINVAL},
        {"anything", 8, "qcow3", "format 'qcow3' is not known", -EINVAL},
    };
    struct blockdev *image = NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char path[64];
        image_create(path, 0);
        int fd = open(path, O_WRONLY);
        cr_assert_eq(write(fd, cases[i].contents, cases[i].length), (ssize_t)cases[i].length);
        close(fd);
        cr_assert_eq(blockdev_open(&image, path, cases[i].format, 0, &error), cases[i].status);
        cr_assert(strstr(error.text, path) == error.text, "%s", error.text);
        cr_assert(strstr(error.text, cases[i].wanted), "%s", error.text);
        cr_assert_null(strchr(error.text, '\n'));
        unlink(path);
    }
    cr_assert_eq(blockdev_open(&image, "/nonexistent/disk.img", NULL, 0, &error), -ENOENT);
    cr_assert(strstr(error.text, "/nonexistent/disk.img: cannot open"), "%s", error.text);
    cr_assert_eq(blockdev_open(&image, "/tmp", NULL, BLOCKDEV_READ_ONLY, &error), -EINVAL);
    cr_assert_eq(blockdev_open(&image, "/dev/null", NULL, 0, &error), -EINVAL);
}

Test(blockdev, one_writer_at_a_time)
{
    char path[64];
    struct blockdev *second = NULL;
    image_create(path, 8192);
    struct blockdev *first = image_open(path, 0);
    cr_assert_eq(blockdev_open(&second, path, "raw", 0, &error), -EBUSY);
    cr_assert(strstr(error.text, "in use"), "%s", error.text);
    blockdev_close(first);
    first = image_open(path, BLOCKDEV_READ_ONLY);
    second = image_open(path, BLOCKDEV_SNAPSHOT);
    blockdev_close(first);
    blockdev_close(second);
    unlink(path);
}

Test(blockdev, geometry_fits_the_disk)
{
    static const uint64_t sizes[] = {1,    62,    63,      64,       1007,
                                     1008, 20160, 2097152, 16514064, 1ull << 40};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct blockdev_geometry geometry = blockdev_geometry(sizes[i]);
        uint64_t product = (uint64_t)geometry.cylinders * geometry.heads * geometry.sectors;
        cr_assert(product && product <= sizes[i], "%lu sectors", sizes[i]);
        cr_assert(geometry.heads <= 16 && geometry.sectors <= 63 && geometry.cylinders <= 16383);
    }
}
