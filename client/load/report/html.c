/* SPDX-License-Identifier: MIT */
#include "html.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../../cli/cli.h"
#include "json.h"
#include "output.h"

/*
 * "<" could end the script element that contains the JSON.  In JSON it occurs
 * only in strings, which can escape it.
 */
static void put_json(FILE *to, const char *json)
{
	for (; *json; json++)
		if (*json == '<')
			fputs("\\u003c", to);
		else
			putc(*json, to);
}

static char *page(const char *json, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (!to)
		return NULL;
	fwrite(html_head, 1, html_head_len, to);
	put_json(to, json);
	fwrite(html_tail, 1, html_tail_len, to);
	if (fclose(to) == 0)
		return text;
	free(text);
	return NULL;
}

int html_write(const char *path, const struct result *r,
	       const struct gates *gates)
{
	char *json = json_text(r, gates);
	size_t len;
	char *text = json ? page(json, &len) : NULL;
	int status = CLI_FAILED;

	if (text)
		status = output_write(path, text, len);
	else
		cli_error("out of memory for the page");
	free(text);
	free(json);
	return status;
}
