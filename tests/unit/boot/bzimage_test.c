/* SPDX-License-Identifier: MIT */
/* bzImage by the 64-bit boot protocol: the state that the kernel starts with, and errors. */
#include "images.h"

static struct test_boot t;

static int setup(void **state)
{
	test_boot_open(&t, 64 * MIB);
	test_make_bzimage(&t);
	return 0;
}

static int teardown(void **state)
{
	test_boot_close(&t);
	return 0;
}

static struct boot_params *params(void)
{
	return test_guest(&t, t.entry.rsi, sizeof(struct boot_params));
}

static void loads_code_and_enters_64_bit(void **state)
{
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);
	assert_int_equal(t.entry.rip, TEST_KERNEL + 0x200);
	assert_memory_equal(test_guest(&t, TEST_KERNEL, TEST_CODE_SIZE), t.file + TEST_CODE_OFFSET,
		TEST_CODE_SIZE);
	assert_int_equal(t.entry.rsp % 16, 0);
}

static void passes_the_setup_header_on(void **state)
{
	struct setup_header *header;

	assert_int_equal(test_boot_load(&t), 0);
	header = &params()->hdr;
	assert_int_equal(header->header, LINUX_MAGIC);
	assert_int_equal(header->version, 0x020F);
	assert_int_equal(header->init_size, TEST_INIT);
	assert_int_equal(header->type_of_loader, 0xFF);
	assert_int_equal(header->loadflags, LOADED_HIGH);
	assert_int_equal(header->code32_start, TEST_KERNEL);
	assert_int_equal(header->setup_data, 0);
	assert_int_equal(header->ramdisk_image, 0);
	assert_int_equal(header->ramdisk_size, 0);
}

/* The sentinel at 0x1EF and all that is not header must be zero, or Linux wipes boot_params. */
static void boot_params_are_clean(void **state)
{
	uint8_t *bytes;

	t.file[0x26B] = 0x77; /* the header's last byte, beyond the known fields */
	t.file[0x26C] = 0x78;
	assert_int_equal(test_boot_load(&t), 0);
	bytes = (uint8_t *)params();
	for (unsigned i = 0; i < 0x70; i++)
		assert_int_equal(bytes[i], 0);
	for (unsigned i = 0x1E9; i < LINUX_HEADER_OFFSET; i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(bytes[0x26B], 0x77);
	for (unsigned i = 0x26C; i < 0x2D0; i++)
		assert_int_equal(bytes[i], 0);
}

/* efifb takes it from these fields, and from no other. */
static void a_framebuffer_is_told(void **state)
{
	const uint8_t *bytes;

	t.config.framebuffer = (struct boot_framebuffer){0xF8000000, 16 * MIB, 1024, 768};
	assert_int_equal(test_boot_load(&t), 0);
	bytes = (uint8_t *)params();
	assert_int_equal(bytes[0x0F], 0x70);
	assert_memory_equal(bytes + 0x12, "\0\4\0\3\40\0\0\0\0\xF8\0\0\0\1", 14);
	assert_memory_equal(bytes + 0x24, "\0\20\10\20\10\10\10\0\10\30", 10);
	assert_memory_equal(bytes + 0x32, "\1\0", 2);
}

static void finds_cmdline_and_rsdp(void **state)
{
	assert_int_equal(test_boot_load(&t), 0);
	assert_string_equal(test_guest(&t, params()->hdr.cmd_line_ptr, 64), t.config.cmdline);
	assert_memory_equal(test_guest(&t, params()->acpi_rsdp_addr, 8), "RSD PTR ", 8);
}

static void e820_is_sorted_and_covers_ram(void **state)
{
	struct boot_e820_entry *e820;

	assert_int_equal(test_boot_load(&t), 0);
	e820 = params()->e820_table;
	assert_int_equal(params()->e820_entries, 3);
	assert_int_equal(e820[0].addr, 0);
	assert_int_equal(e820[0].size, 0x9FC00);
	assert_int_equal(e820[0].type, 1);
	assert_int_equal(e820[1].addr, 0x9FC00);
	assert_int_equal(e820[1].addr + e820[1].size, 0x100000);
	assert_int_equal(e820[1].type, 2);
	assert_int_equal(e820[2].addr, 0x100000);
	assert_int_equal(e820[2].addr + e820[2].size, 64 * MIB);
	assert_int_equal(e820[2].type, 1);
}

static void e820_has_ram_above_4_gib(void **state)
{
	struct boot_e820_entry *high;

	test_boot_close(&t);
	test_boot_open(&t, GMEM_LOW_MAX + 100 * MIB); /* not populated: costs nothing */
	test_make_bzimage(&t);
	t.config.initrd.size = 1000;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(params()->e820_entries, 4);
	high = &params()->e820_table[3];
	assert_int_equal(high->addr, 4096 * MIB);
	assert_int_equal(high->size, 100 * MIB);
	assert_int_equal(high->type, 1);
	/* Bounded by initrd_addr_max here, not by memory. */
	assert_int_equal(params()->hdr.ramdisk_image, 0x80000000 - 4096);
}

/* Walks the tables as the processor does. */
static uint64_t translate(uint64_t address)
{
	uint64_t *pml4 = test_guest(&t, t.entry.cr3, 4096), *pdpt, *pd;

	assert_int_equal(pml4[address >> 39] & 0x81, 1);
	pdpt = test_guest(&t, pml4[address >> 39] & ~0xFFFull, 4096);
	assert_int_equal(pdpt[address >> 30 & 511] & 0x81, 1);
	pd = test_guest(&t, pdpt[address >> 30 & 511] & ~0xFFFull, 4096);
	assert_int_equal(pd[address >> 21 & 511] & 0x83, 0x83);
	return (pd[address >> 21 & 511] & ~0x1FFFFFull) + (address & 0x1FFFFF);
}

static void first_4_gib_are_identity_mapped(void **state)
{
	assert_int_equal(test_boot_load(&t), 0);
	for (uint64_t at = 0; at < 4096 * MIB; at += 2 * MIB)
		assert_int_equal(translate(at + 0x1234), at + 0x1234);
}

static void gdt_has_the_protocols_selectors(void **state)
{
	uint64_t *gdt;

	assert_int_equal(test_boot_load(&t), 0);
	assert_true(t.entry.gdt_limit >= 0x1F);
	gdt = test_guest(&t, t.entry.gdt_base, t.entry.gdt_limit + 1u);
	assert_int_equal(gdt[0], 0);
	assert_int_equal(gdt[2], 0x00AF9B000000FFFF); /* 0x10: code, long */
	assert_int_equal(gdt[3], 0x00CF93000000FFFF); /* 0x18: data */
}

static void initrd_lies_at_the_top(void **state)
{
	struct setup_header *header;

	t.config.initrd.size = sizeof(t.initrd) - 5;
	assert_int_equal(test_boot_load(&t), 0);
	header = &params()->hdr;
	assert_int_equal(header->ramdisk_size, t.config.initrd.size);
	assert_int_equal(header->ramdisk_image, 64 * MIB - sizeof(t.initrd));
	assert_int_equal(params()->ext_ramdisk_image, 0);
	assert_memory_equal(test_guest(&t, header->ramdisk_image, header->ramdisk_size), t.initrd,
		header->ramdisk_size);
}

static void initrd_stays_below_its_maximum(void **state)
{
	test_bzimage_header(&t)->initrd_addr_max = 32 * MIB - 1;
	t.config.initrd.size = 4096;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(params()->hdr.ramdisk_image, 32 * MIB - 4096);
}

/* Exactly the room between the kernel's init_size and the end of memory, and one byte more. */
static void initrd_too_big_names_the_memory(void **state)
{
	t.g.low_size = TEST_KERNEL + TEST_INIT + 2 * 4096;
	t.config.initrd.size = 2 * 4096;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(params()->hdr.ramdisk_image, TEST_KERNEL + TEST_INIT);
	t.config.initrd.size++;
	test_boot_refuses(&t, -ENOMEM, "set memory to 19M");
	assert_non_null(strstr(t.e.text, "initrd.test"));
}

static void initrd_that_no_memory_helps(void **state)
{
	test_bzimage_header(&t)->initrd_addr_max = TEST_KERNEL + TEST_INIT + 4095;
	t.config.initrd.size = 4096;
	assert_int_equal(test_boot_load(&t), 0);
	t.config.initrd.size++;
	test_boot_refuses(&t, -EFBIG, "smaller initrd");
	t.config.initrd.size = UINT64_MAX; /* only its size is used */
	test_boot_refuses(&t, -EFBIG, "smaller initrd");
	test_bzimage_header(&t)->initrd_addr_max = 0;
	test_boot_refuses(&t, -EFBIG, "room for 0 MiB");
}

static void refuses_truncated(void **state)
{
	uint64_t whole = t.config.kernel.size;

	t.config.kernel.size = whole - 1;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	t.config.kernel.size = TEST_CODE_OFFSET;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	t.config.kernel.size = LINUX_HEADER_OFFSET + sizeof(struct setup_header);
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	t.config.kernel.size--;
	test_boot_refuses(&t, -ENOEXEC, "not a kernel");
	t.config.kernel.size = 0;
	test_boot_refuses(&t, -ENOEXEC, "not a kernel");
}

static void setup_sects_0_means_4(void **state)
{
	test_bzimage_header(&t)->setup_sects = 0;
	test_bzimage_header(&t)->syssize = 0;
	t.config.kernel.size = 5 * 512 + 0x201;
	assert_int_equal(test_boot_load(&t), 0);
	assert_memory_equal(test_guest(&t, TEST_KERNEL, 0x201), t.file + 5 * 512, 0x201);
	t.config.kernel.size--; /* no byte at the entry point */
	test_boot_refuses(&t, -ENOEXEC, "truncated");
}

static void refuses_kernels_without_64_bit_entry(void **state)
{
	struct setup_header *header = test_bzimage_header(&t);

	header->version = 0x020B;
	test_boot_refuses(&t, -ENOEXEC, "protocol 2.11");
	header->version = 0x020C;
	assert_int_equal(test_boot_load(&t), 0);
	header->xloadflags = 0;
	test_boot_refuses(&t, -ENOEXEC, "64-bit");
	header->xloadflags = XLF_KERNEL_64;
	header->loadflags = 0;
	test_boot_refuses(&t, -ENOEXEC, "64-bit");
}

static void memory_must_hold_init_size(void **state)
{
	t.g.low_size = TEST_KERNEL + TEST_INIT;
	assert_int_equal(test_boot_load(&t), 0);
	t.g.low_size -= 4096;
	test_boot_refuses(&t, -ENOMEM, "set memory to 18M");
	test_bzimage_header(&t)->init_size = 0; /* then the code itself counts */
	t.g.low_size = TEST_KERNEL + TEST_CODE_SIZE;
	assert_int_equal(test_boot_load(&t), 0);
	t.g.low_size -= 1;
	test_boot_refuses(&t, -ENOMEM, "memory");
	t.g.low_size = BOOT_MEMORY_MIN - 4096;
	test_boot_refuses(&t, -EINVAL, "set it to 4M");
}

static void refuses_impossible_addresses(void **state)
{
	struct setup_header *header = test_bzimage_header(&t);

	header->pref_address = 0xFF000;
	test_boot_refuses(&t, -ENOEXEC, "1 MiB");
	header->pref_address = UINT64_MAX;
	test_boot_refuses(&t, -ENOEXEC, "1 MiB");
	header->pref_address = 0xFFFFF000;
	test_boot_refuses(&t, -ENOEXEC, "1 MiB");
	header->pref_address = TEST_KERNEL;
	header->init_size = UINT32_MAX;
	test_boot_refuses(&t, -ENOEXEC, "below 3072 MiB");
	header->init_size = TEST_INIT;
	header->pref_address = 0; /* no preference */
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.rip, 0x1000200);
}

static void command_line_length_is_checked(void **state)
{
	static char line[BOOT_CMDLINE_MAX + 2];

	t.config.cmdline = line;
	memset(line, 'x', 2047);
	assert_int_equal(test_boot_load(&t), 0);
	line[2047] = 'x';
	test_boot_refuses(&t, -E2BIG, "2047");
	test_bzimage_header(&t)->cmdline_size = UINT32_MAX;
	memset(line, 'x', BOOT_CMDLINE_MAX);
	assert_int_equal(test_boot_load(&t), 0);
	line[BOOT_CMDLINE_MAX] = 'x';
	test_boot_refuses(&t, -E2BIG, "65535");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(loads_code_and_enters_64_bit),
		T(passes_the_setup_header_on),
		T(boot_params_are_clean),
		T(a_framebuffer_is_told),
		T(finds_cmdline_and_rsdp),
		T(e820_is_sorted_and_covers_ram),
		T(e820_has_ram_above_4_gib),
		T(first_4_gib_are_identity_mapped),
		T(gdt_has_the_protocols_selectors),
		T(initrd_lies_at_the_top),
		T(initrd_stays_below_its_maximum),
		T(initrd_too_big_names_the_memory),
		T(initrd_that_no_memory_helps),
		T(refuses_truncated),
		T(setup_sects_0_means_4),
		T(refuses_kernels_without_64_bit_entry),
		T(memory_must_hold_init_size),
		T(refuses_impossible_addresses),
		T(command_line_length_is_checked),
	};

	return cmocka_run_group_tests_name("boot/bzimage", tests, NULL, NULL);
}
