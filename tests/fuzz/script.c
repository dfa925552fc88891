/* SPDX-License-Identifier: MIT */
/*
 * A script of weir-client load, of any bytes.  It is taken and can be used, or
 * there is one line that names the file.
 */
#include "fuzz.h"

#include "../../client/load/engine/script.h"

const char fuzz_corpus[] = "script";

static void check_measured(const struct script_part *part)
{
	for (size_t i = 0; i < part->count; i++)
		REQUIRE(part->steps[i].has_text && part->steps[i].has_reply);
}

static void check_messages(const struct load_script *s)
{
	for (int i = 0; i < SCRIPT_PARTS; i++)
		for (size_t n = 0; n < s->parts[i].count; n++) {
			const struct script_step *step = &s->parts[i].steps[n];
			const struct message_id id = { 0, n };
			size_t size = template_size(&step->text, id);

			REQUIRE(step->pause_ns >= 0);
			REQUIRE(size >= step->text.size_min &&
				size <= step->text.size_max);
		}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *source = malloc(size + 1);
	struct load_script s;
	const char *heard;
	bool is_taken;

	REQUIRE(source);
	if (size > 0)
		memcpy(source, data, size);
	fuzz_listen();
	is_taken = script_parse(&s, "file", source, size);
	heard = fuzz_heard();
	REQUIRE(is_taken ? *heard == '\0'
			 : fuzz_is_one_line(heard) && strstr(heard, "file:"));
	REQUIRE(!is_taken || !memchr(data, '\0', size));
	if (is_taken) {
		script_bind(&s, NULL, 1, 10);
		REQUIRE(s.parts[SCRIPT_LOOP].count > 0);
		check_measured(&s.parts[SCRIPT_LOOP]);
		check_measured(&s.parts[SCRIPT_ONCE]);
		check_messages(&s);
	}
	script_fini(&s);
	return 0;
}
