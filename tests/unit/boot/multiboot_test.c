/* SPDX-License-Identifier: MIT */
/* Flat guests: multiboot-v1 ELF32 by the conventions of kvm-unit-tests. */
#include "images.h"

static struct test_boot t;
static Elf32_Ehdr *header;

static int setup(void **state)
{
	test_boot_open(&t, 64 * MIB);
	header = test_make_multiboot(&t);
	return 0;
}

static int teardown(void **state)
{
	test_boot_close(&t);
	return 0;
}

static struct multiboot_info *info(void)
{
	return test_guest(&t, t.entry.rbx, sizeof(struct multiboot_info));
}

static const char *module_text(void)
{
	static char text[0x4001];
	struct multiboot_module *module;

	assert_int_equal(info()->mods_count, 1); /* kvm-unit-tests use exactly one */
	module = test_guest(&t, info()->mods_addr, sizeof(*module));
	assert_true(module->end > module->start && module->end - module->start < sizeof(text));
	memcpy(text, test_guest(&t, module->start, module->end - module->start),
		module->end - module->start);
	text[module->end - module->start] = '\0';
	return text;
}

static void enters_in_protected_mode(void **state)
{
	uint64_t *gdt;

	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_PROTECTED);
	assert_int_equal(t.entry.rip, 0x400010);
	assert_int_equal(t.entry.rax, 0x2BADB002);
	assert_memory_equal(test_guest(&t, 0x400000, 0x800), t.file + 0x1000, 0x800);
	gdt = test_guest(&t, t.entry.gdt_base, 32);
	assert_int_equal(gdt[2], 0x00CF9B000000FFFF);
}

static void info_describes_memory(void **state)
{
	struct multiboot_mmap *map;

	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(info()->flags, 1 | 1 << 2 | 1 << 3 | 1 << 6);
	assert_int_equal(info()->mem_lower, 639);
	assert_int_equal(info()->mem_upper, 63 * 1024);
	assert_int_equal(info()->mmap_length, 3 * 24);
	map = test_guest(&t, info()->mmap_addr, 3 * 24);
	assert_int_equal(map[0].size, 20);
	assert_int_equal(map[0].length, 0x9FC00);
	assert_int_equal(map[0].type, 1);
	assert_int_equal(map[1].type, 2);
	assert_int_equal(map[2].start, MIB);
	assert_int_equal(map[2].start + map[2].length, 64 * MIB);
	assert_int_equal(map[2].type, 1);
}

static void cmdline_is_passed_as_is(void **state)
{
	t.config.cmdline = "one 'two three'";
	assert_int_equal(test_boot_load(&t), 0);
	assert_string_equal(test_guest(&t, info()->cmdline, 64), "one 'two three'");
}

static void module_0_is_the_environment(void **state)
{
	t.config.vp_count = 3;
	t.config.test_device = true;
	assert_int_equal(test_boot_load(&t), 0);
	assert_string_equal(
		module_text(), "NR_CPUS=3\nMEMSIZE=64\nMEMLIMIT=64\nTEST_DEVICE=1\nBOOTLOADER=1\n");
	t.config.test_device = false;
	assert_int_equal(test_boot_load(&t), 0);
	assert_non_null(strstr(module_text(), "\nTEST_DEVICE=0\n"));
}

static void initrd_is_more_environment(void **state)
{
	memcpy(t.initrd, "NR_CPUS=1", 9);
	t.config.initrd.size = 9;
	assert_int_equal(test_boot_load(&t), 0);
	assert_memory_equal(module_text(), "NR_CPUS=1\nNR_CPUS=2\n", 20);
	memcpy(t.initrd, "A=B\n", 4);
	t.config.initrd.size = 4;
	assert_int_equal(test_boot_load(&t), 0);
	assert_memory_equal(module_text(), "A=B\nNR_CPUS=2\n", 14);
	t.config.initrd.data = calloc(1, BOOT_MODULE_MAX);
	t.config.initrd.size = BOOT_MODULE_MAX;
	test_boot_refuses(&t, -EFBIG, "environment text");
	free(t.config.initrd.data);
}

static void header_must_add_up(void **state)
{
	struct multiboot_header *mb = (struct multiboot_header *)(t.file + 0x1000);

	mb->checksum++;
	test_boot_refuses(&t, -ENOEXEC, "multiboot-v1 ELF32");
	mb->checksum -= 4;
	mb->flags = 3; /* page aligned modules, memory: supported */
	assert_int_equal(test_boot_load(&t), 0);
	mb->flags = 4; /* a video mode: not supported */
	mb->checksum--;
	test_boot_refuses(&t, -ENOEXEC, "unsupported features");
}

static void header_lies_in_the_first_8_kib(void **state)
{
	struct multiboot_header mb;

	memcpy(&mb, t.file + 0x1000, sizeof(mb));
	memset(t.file + 0x1000, 0, sizeof(mb));
	memcpy(t.file + 8192 - 12, &mb, sizeof(mb));
	assert_int_equal(test_boot_load(&t), 0);
	memset(t.file + 8192 - 12, 0, sizeof(mb));
	memcpy(t.file + 8192 - 8, &mb, sizeof(mb));
	test_boot_refuses(&t, -ENOEXEC, "not a kernel");
}

static void segments_are_checked(void **state)
{
	Elf32_Phdr *ph = (Elf32_Phdr *)(t.file + sizeof(*header));

	ph->p_memsz = 0xFFFFFFFF;
	test_boot_refuses(&t, -ENOEXEC, "below 3072 MiB");
	ph->p_memsz = 64 * MIB;
	test_boot_refuses(&t, -ENOMEM, "set memory to 68M");
	ph->p_memsz = 0x1000;
	ph->p_offset = 0xFFFFFFFF;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	ph->p_offset = 0x1000;
	ph->p_paddr = 0xFFFFF;
	test_boot_refuses(&t, -ENOEXEC, "1 MiB");
	ph->p_paddr = 0x400000;
	header->e_phoff = 0xFFFFFFFF;
	test_boot_refuses(&t, -ENOEXEC, "program headers");
	header->e_phoff = sizeof(*header);
	header->e_entry = 0;
	test_boot_refuses(&t, -ENOEXEC, "entry point");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(enters_in_protected_mode),
		T(info_describes_memory),
		T(cmdline_is_passed_as_is),
		T(module_0_is_the_environment),
		T(initrd_is_more_environment),
		T(header_must_add_up),
		T(header_lies_in_the_first_8_kib),
		T(segments_are_checked),
	};

	return cmocka_run_group_tests_name("boot/multiboot", tests, NULL, NULL);
}
