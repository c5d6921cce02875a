/* SPDX-License-Identifier: MIT */
/* HvGetVpRegisters, HvSetVpRegisters: names, targets, values, lists that fail half way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hyper/hv/hv_impl.h"
#include "tests/unit/hv/fake_partition.h"

#define GET            0x50ull
#define SET            0x51ull
#define COUNT(n)       ((uint64_t)(n) << 32)
#define INPUT          0x2000u
#define OUTPUT         0x3000u
#define SELF           HV_VP_INDEX_SELF
#define STATUS(result) ((result)&0xFFFF)
#define DONE(result)   ((result) >> 32)

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static struct hv_input_vp_registers *head(uint32_t vp)
{
	struct hv_input_vp_registers *in = fake_ram(&m, INPUT);

	memset(in, 0, HV_PAGE_SIZE);
	in->partition_id = HV_PARTITION_ID_SELF;
	in->vp_index = vp;
	memset(fake_ram(&m, OUTPUT), 0xFF, HV_PAGE_SIZE);
	return in;
}

static uint64_t get_from(uint32_t caller, uint32_t vp, const uint32_t *names, uint32_t count)
{
	const struct hv_hypercall call = {GET | COUNT(count), INPUT, OUTPUT};

	memcpy(head(vp) + 1, names, count * sizeof(*names));
	return hv_hypercall(&m.hv, caller, &call);
}

static uint64_t get(uint32_t name)
{
	return get_from(0, SELF, &name, 1);
}

static struct hv_register_value *output(uint32_t n)
{
	return (struct hv_register_value *)fake_ram(&m, OUTPUT) + n;
}

static uint64_t set_high(uint32_t name, uint64_t low, uint64_t high)
{
	const struct hv_register_assoc r = {.name = name, .value = {low, high}};

	memcpy(head(SELF) + 1, &r, sizeof(r));
	return fake_hypercall(&m, SET | COUNT(1), INPUT, 0);
}

static uint64_t set(uint32_t name, uint64_t value)
{
	return set_high(name, value, 0);
}

/* ---- values -------------------------------------------------------------- */

static const struct {
	uint32_t name, msr;
	bool writable;
	uint64_t value; /* to write */
} registers[] = {
	{0x210, 0x40000100, true, 0x11},
	{0x214, 0x40000104, true, 0x55},
	{0x90002, 0x40000000, true, 0x8100000601000000},
	{0x90003, 0x40000002, false, 1},
	{0x90004, 0x40000020, false, 1},
	{0x90013, 0x40000073, true, 0x5001},
	{0x90017, 0x40000021, true, 0x6001},
	{0xA0000, 0x40000090, true, 0x10041},
	{0xA000F, 0x4000009F, true, 0x100FE},
	{0xA0010, 0x40000080, true, 1},
	{0xA0011, 0x40000081, false, 1},
	{0xA0012, 0x40000082, true, 0x4001},
	{0xA0013, 0x40000083, true, 0x7001},
	{0xB0000, 0x400000B0, true, 0x1ED8},
	{0xB0007, 0x400000B7, true, 0},
};
#define REGISTERS (sizeof(registers) / sizeof(registers[0]))

static void registers_are_the_msrs(void **state)
{
	for (size_t i = 0; i < REGISTERS; i++) {
		uint64_t result = set(registers[i].name, registers[i].value);

		assert_int_equal(STATUS(result), registers[i].writable
							 ? HV_STATUS_SUCCESS
							 : HV_STATUS_INVALID_REGISTER_VALUE);
		assert_int_equal(DONE(result), registers[i].writable);
		if (registers[i].writable)
			assert_int_equal(fake_rdmsr(&m, 0, registers[i].msr), registers[i].value);
		assert_int_equal(get(registers[i].name), COUNT(1));
		assert_int_equal(output(0)->low, fake_rdmsr(&m, 0, registers[i].msr));
		assert_int_equal(output(0)->high, 0);
	}
}

static void leaves_are_registers(void **state)
{
	assert_int_equal(get(0x100), COUNT(1));
	assert_int_equal(output(0)->low, 14393 | 10ull << (16 + 32));
	assert_int_equal(get(0x200), COUNT(1));
	assert_int_equal(output(0)->low & 0xFFFFFFFF, m.hv.features);
	assert_int_equal(get(0x202), COUNT(1));
	assert_int_equal(output(0)->low, 3 | 3ull << 32);
	assert_int_equal(STATUS(set(0x200, 0)), HV_STATUS_INVALID_PARAMETER);
}

/* The VP runtime and the timers, when they are not offered, are unknown as all others are. */
static void unknown_names(void **state)
{
	static const uint32_t names[] = {0, 1, 0x101, 0x1FF, 0x204, 0x20F, 0x216, 0x90000, 0x90001,
		0x90005, 0xA0015, 0xB0008, 0xD0003, 0x20000, ~0u};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(get(names[i]), HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(output(0)->low, UINT64_MAX);
		assert_int_equal(set(names[i], 0), HV_STATUS_INVALID_PARAMETER);
	}
	m.hv.features &= ~HV_FEAT_STIMER;
	assert_int_equal(get(0xB0000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(set(0xB0000, 0), HV_STATUS_INVALID_PARAMETER);
}

static void values_that_are_refused(void **state)
{
	assert_int_equal(set(0x90013, 0x5003), HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(set(0xA0000, 0x05), HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(set_high(0xA0010, 1, 1), HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SCONTROL), 0);
	assert_int_equal(m.hv.counters.msr_faults, 0); /* it was no MSR access */
}

/* ---- targets ------------------------------------------------------------- */

static void only_the_own_vp(void **state)
{
	const uint32_t name = 0x90003;

	assert_int_equal(get_from(2, SELF, &name, 1), COUNT(1));
	assert_int_equal(output(0)->low, 2);
	assert_int_equal(get_from(2, 2, &name, 1), COUNT(1));
	assert_int_equal(get_from(2, 1, &name, 1), HV_STATUS_ACCESS_DENIED);
	assert_int_equal(get_from(2, 3, &name, 1), HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(get_from(2, ~0u, &name, 1), HV_STATUS_INVALID_VP_INDEX);
}

static uint64_t get_with_head(uint64_t partition, uint8_t vtl)
{
	struct hv_input_vp_registers *in = head(SELF);
	const uint32_t name = 0x90003;

	in->partition_id = partition;
	in->input_vtl = vtl;
	memcpy(in + 1, &name, sizeof(name));
	return fake_hypercall(&m, GET | COUNT(1), INPUT, OUTPUT);
}

static void only_the_own_partition_and_vtl_0(void **state)
{
	assert_int_equal(get_with_head(0, 0), HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(get_with_head(1, 0), HV_STATUS_INVALID_PARTITION_ID);
	for (unsigned vtl = 0; vtl < 256; vtl++)
		assert_int_equal(STATUS(get_with_head(HV_PARTITION_ID_SELF, (uint8_t)vtl)),
			vtl == 0 || vtl == 0x10 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER);
}

/* ---- lists --------------------------------------------------------------- */

static void a_list_stops_at_an_unknown_name(void **state)
{
	const uint32_t names[] = {0x90003, 0xA0011, 0xDEAD, 0xA0011};

	assert_int_equal(get_from(1, SELF, names, 4), HV_STATUS_INVALID_PARAMETER | COUNT(2));
	assert_int_equal(output(0)->low, 1);
	assert_int_equal(output(1)->low, 1);
	assert_int_equal(output(2)->low, UINT64_MAX);
	assert_int_equal(get_from(1, SELF, names, 2), COUNT(2));
}

static void a_list_of_values(void **state)
{
	const struct hv_register_assoc list[] = {
		{.name = 0xA0003, .value = {0x10033, 0}},
		{.name = 0xA0004, .value = {0x10044, 0}},
		{.name = 0xA0011, .value = {1, 0}}, /* read only */
		{.name = 0xA0005, .value = {0x10055, 0}},
	};

	memcpy(head(SELF) + 1, list, sizeof(list));
	assert_int_equal(fake_hypercall(&m, SET | COUNT(4), INPUT, 0),
		HV_STATUS_INVALID_REGISTER_VALUE | COUNT(2));
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SINT0 + 3), 0x10033);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SINT0 + 4), 0x10044);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SINT0 + 5), HV_SINT_RESET_VALUE);
}

/* The output is larger than the input: 255 elements leave room for 16 bytes. */
static void as_many_as_a_page_of_output_holds(void **state)
{
	uint32_t names[257];

	for (unsigned i = 0; i < 257; i++)
		names[i] = 0x90003;
	assert_int_equal(get_from(0, SELF, names, 256), COUNT(256));
	assert_int_equal(get_from(0, SELF, names, 257), HV_STATUS_INVALID_ALIGNMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(registers_are_the_msrs),
		TEST(leaves_are_registers),
		TEST(unknown_names),
		TEST(values_that_are_refused),
		TEST(only_the_own_vp),
		TEST(only_the_own_partition_and_vtl_0),
		TEST(a_list_stops_at_an_unknown_name),
		TEST(a_list_of_values),
		TEST(as_many_as_a_page_of_output_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
