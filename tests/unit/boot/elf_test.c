/* SPDX-License-Identifier: MIT */
/* ELF64 vmlinux: by its 64-bit entry, and by the PVH note. */
#include "images.h"

static struct test_boot t;
static Elf64_Ehdr *header;

static int setup(void **state)
{
	test_boot_open(&t, 64 * MIB);
	header = test_make_elf64(&t);
	return 0;
}

static int teardown(void **state)
{
	test_boot_close(&t);
	return 0;
}

/* The second program header: the notes in [TEST_NOTES, end). */
static void add_notes(uint32_t end)
{
	*test_elf64_ph(&t, 1) = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = TEST_NOTES,
		.p_filesz = end - TEST_NOTES,
		.p_align = 4,
	};
}

static void add_pvh_note(uint64_t entry, uint32_t size)
{
	uint32_t at = test_put_note(&t, TEST_NOTES, "GNU", 3, "0123456789abcdefghij", 20);

	at = test_put_note(&t, at, "Xen", 6, "linux", 6);
	at = test_put_note(&t, at, "Xen", PVH_NOTE_PHYS_ENTRY, &entry, size);
	add_notes(at);
}

static void enters_at_elf_entry_in_long_mode(void **state)
{
	struct boot_params *params;

	t.config.initrd.size = 5000;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);
	assert_int_equal(t.entry.rip, TEST_KERNEL + 0x40);
	assert_memory_equal(test_guest(&t, TEST_KERNEL, 0x1000), t.file + 0x1000, 0x1000);
	params = test_guest(&t, t.entry.rsi, sizeof(*params));
	assert_int_equal(params->hdr.header, LINUX_MAGIC);
	assert_int_equal(params->hdr.boot_flag, LINUX_BOOT_FLAG);
	assert_int_equal(params->hdr.type_of_loader, 0xFF);
	assert_int_equal(params->hdr.ramdisk_image, 64 * MIB - 2 * 4096);
	assert_int_equal(params->hdr.ramdisk_size, 5000);
	assert_int_equal(params->e820_entries, 3);
	assert_string_equal(test_guest(&t, params->hdr.cmd_line_ptr, 64), t.config.cmdline);
}

static void bss_is_zero(void **state)
{
	uint8_t *bss;

	assert_int_equal(test_boot_load(&t), 0);
	bss = test_guest(&t, TEST_KERNEL + 0x1000, 0x2000);
	for (unsigned i = 0; i < 0x2000; i++)
		assert_int_equal(bss[i], 0);
}

static void enters_by_the_pvh_note(void **state)
{
	struct pvh_start_info *info;
	struct pvh_module *module;
	struct pvh_memory *map;

	add_pvh_note(TEST_KERNEL + 0x80, 8);
	t.config.initrd.size = 5000;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_PVH);
	assert_int_equal(t.entry.rip, TEST_KERNEL + 0x80);
	info = test_guest(&t, t.entry.rbx, sizeof(*info));
	assert_int_equal(info->magic, 0x336EC578);
	assert_int_equal(info->version, 1);
	assert_int_equal(info->flags, 0);
	assert_int_equal(info->module_count, 1);
	assert_string_equal(test_guest(&t, info->cmdline, 64), t.config.cmdline);
	assert_memory_equal(test_guest(&t, info->rsdp, 8), "RSD PTR ", 8);
	module = test_guest(&t, info->modules, sizeof(*module));
	assert_int_equal(module->size, 5000);
	assert_memory_equal(test_guest(&t, module->start, 5000), t.initrd, 5000);
	assert_int_equal(info->memory_map_count, 3);
	map = test_guest(&t, info->memory_map, 3 * sizeof(*map));
	assert_int_equal(map[0].start, 0);
	assert_int_equal(map[1].type, 2);
	assert_int_equal(map[2].start, 0x100000);
	assert_int_equal(map[2].start + map[2].size, 64 * MIB);
	assert_int_equal(map[2].type, 1);
	assert_int_equal(map[2].reserved, 0);
}

static void pvh_without_initrd_has_no_module(void **state)
{
	struct pvh_start_info *info;
	uint64_t *gdt;

	add_pvh_note(TEST_KERNEL + 0x80, 4);
	assert_int_equal(test_boot_load(&t), 0);
	info = test_guest(&t, t.entry.rbx, sizeof(*info));
	assert_int_equal(info->module_count, 0);
	assert_int_equal(info->modules, 0);
	gdt = test_guest(&t, t.entry.gdt_base, 32);
	assert_int_equal(gdt[2], 0x00CF9B000000FFFF); /* code, 32-bit */
}

/* Notes with wrong sizes end the walk; the ELF entry is used. */
static void damaged_notes_are_no_pvh(void **state)
{
	Elf64_Nhdr note = {4, UINT32_MAX, 1};
	uint64_t entry = TEST_KERNEL + 0x80;
	uint32_t end;

	end = test_put_note(&t, TEST_NOTES, "Xen", PVH_NOTE_PHYS_ENTRY, "abc", 3);
	add_notes(end);
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);

	memcpy(t.file + TEST_NOTES, &note, sizeof(note));
	end = test_put_note(&t, end, "Xen", PVH_NOTE_PHYS_ENTRY, &entry, 8);
	add_notes(end);
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);

	note.n_descsz = 8; /* ends 8 bytes after the segment, before a valid note */
	memcpy(t.file + TEST_NOTES, &note, sizeof(note));
	test_put_note(&t, TEST_NOTES + 24, "Xen", PVH_NOTE_PHYS_ENTRY, &entry, 8);
	add_notes(TEST_NOTES + 16);
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);

	add_pvh_note(entry, 8);
	test_elf64_ph(&t, 1)->p_filesz = sizeof(t.file);
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);
	test_elf64_ph(&t, 1)->p_offset = UINT64_MAX - 8;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_LONG_MODE);
}

static void notes_of_8_byte_alignment(void **state)
{
	Elf64_Nhdr first = {4, 10, 1}, note = {4, 8, PVH_NOTE_PHYS_ENTRY};
	uint64_t entry = TEST_KERNEL + 0x80;

	memcpy(t.file + TEST_NOTES, &first, sizeof(first));
	memcpy(t.file + TEST_NOTES + 12, "Xen", 4);
	memcpy(t.file + TEST_NOTES + 32, &note, sizeof(note)); /* 12 + 4 + 10, rounded up to 8 */
	memcpy(t.file + TEST_NOTES + 44, "Xen", 4);
	memcpy(t.file + TEST_NOTES + 48, &entry, 8);
	add_notes(TEST_NOTES + 56);
	test_elf64_ph(&t, 1)->p_align = 8;
	assert_int_equal(test_boot_load(&t), 0);
	assert_int_equal(t.entry.mode, BOOT_PVH);
	assert_int_equal(t.entry.rip, entry);
}

static void entry_must_be_loaded(void **state)
{
	header->e_entry = TEST_KERNEL + 0x3000;
	test_boot_refuses(&t, -ENOEXEC, "entry point");
	header->e_entry = TEST_KERNEL - 1;
	test_boot_refuses(&t, -ENOEXEC, "entry point");
	header->e_entry = TEST_KERNEL + 0x2FFF;
	assert_int_equal(test_boot_load(&t), 0);
	add_pvh_note(0x1000, 8);
	test_boot_refuses(&t, -ENOEXEC, "entry point");
}

static void segments_must_lie_in_the_file(void **state)
{
	Elf64_Phdr *ph = test_elf64_ph(&t, 0);

	t.config.kernel.size = 0x1FFF;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	t.config.kernel.size = 0x2000;
	assert_int_equal(test_boot_load(&t), 0);
	ph->p_offset = UINT64_MAX;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	ph->p_offset = 0x1001;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	ph->p_offset = 0x1000;
	ph->p_filesz = ph->p_memsz + 1;
	test_boot_refuses(&t, -ENOEXEC, "damaged");
}

static void segments_must_lie_in_memory(void **state)
{
	Elf64_Phdr *ph = test_elf64_ph(&t, 0);

	t.g.low_size = TEST_KERNEL + 0x3000;
	assert_int_equal(test_boot_load(&t), 0);
	ph->p_memsz++;
	test_boot_refuses(&t, -ENOMEM, "set memory to 17M");
	ph->p_memsz = UINT64_MAX;
	test_boot_refuses(&t, -ENOEXEC, "address");
	ph->p_memsz = UINT64_MAX - TEST_KERNEL;
	test_boot_refuses(&t, -ENOEXEC, "below 3072 MiB");
	ph->p_memsz = 0x3000;
	ph->p_paddr = 0xFFFFFFFF81000000;
	test_boot_refuses(&t, -ENOEXEC, "below 3072 MiB");
	ph->p_paddr = BOOT_INFO; /* where boot_params go */
	test_boot_refuses(&t, -ENOEXEC, "1 MiB");
}

static void program_headers_are_checked(void **state)
{
	header->e_phnum = UINT16_MAX;
	test_boot_refuses(&t, -ENOEXEC, "truncated");
	header->e_phnum = 0;
	test_boot_refuses(&t, -ENOEXEC, "entry point");
	header->e_phnum = 2;
	header->e_phoff = UINT64_MAX;
	test_boot_refuses(&t, -ENOEXEC, "program headers");
	header->e_phoff = sizeof(t.file) - 10;
	test_boot_refuses(&t, -ENOEXEC, "program headers");
	header->e_phoff = sizeof(*header);
	header->e_phentsize = 32;
	test_boot_refuses(&t, -ENOEXEC, "program headers");
}

static void too_many_segments(void **state)
{
	header->e_phnum = BOOT_SEGMENTS_MAX;
	for (unsigned i = 1; i < BOOT_SEGMENTS_MAX; i++)
		*test_elf64_ph(&t, i) = *test_elf64_ph(&t, 0);
	assert_int_equal(test_boot_load(&t), 0);
	*test_elf64_ph(&t, BOOT_SEGMENTS_MAX) = *test_elf64_ph(&t, 0);
	header->e_phnum++;
	test_boot_refuses(&t, -ENOEXEC, "segments");
	test_elf64_ph(&t, 3)->p_memsz = test_elf64_ph(&t, 3)->p_filesz = 0; /* empty: not counted */
	assert_int_equal(test_boot_load(&t), 0);
}

static void initrd_stays_behind_the_kernel(void **state)
{
	t.g.low_size = TEST_KERNEL + 0x3000 + 4096;
	t.config.initrd.size = 4096;
	assert_int_equal(test_boot_load(&t), 0);
	t.config.initrd.size++;
	test_boot_refuses(&t, -ENOMEM, "set memory to 17M");
}

static void command_line_length_is_checked(void **state)
{
	static char line[2049];

	memset(line, 'x', 2048);
	t.config.cmdline = line;
	test_boot_refuses(&t, -E2BIG, "2047");
	line[2047] = '\0';
	assert_int_equal(test_boot_load(&t), 0);
}

static void other_machines_are_no_kernels(void **state)
{
	header->e_machine = EM_AARCH64;
	test_boot_refuses(&t, -ENOEXEC,
		"an x86-64 Linux bzImage, an ELF vmlinux or a multiboot-v1 ELF32 image");
	header->e_machine = EM_X86_64;
	header->e_type = ET_REL;
	test_boot_refuses(&t, -ENOEXEC, "not a kernel");
	header->e_type = ET_EXEC;
	header->e_ident[EI_DATA] = ELFDATA2MSB;
	test_boot_refuses(&t, -ENOEXEC, "not a kernel");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(enters_at_elf_entry_in_long_mode),
		T(bss_is_zero),
		T(enters_by_the_pvh_note),
		T(pvh_without_initrd_has_no_module),
		T(damaged_notes_are_no_pvh),
		T(notes_of_8_byte_alignment),
		T(entry_must_be_loaded),
		T(segments_must_lie_in_the_file),
		T(segments_must_lie_in_memory),
		T(program_headers_are_checked),
		T(too_many_segments),
		T(initrd_stays_behind_the_kernel),
		T(command_line_length_is_checked),
		T(other_machines_are_no_kernels),
	};

	return cmocka_run_group_tests_name("boot/elf", tests, NULL, NULL);
}
