// SPDX-License-Identifier: MIT
/* examples/words.cc: counts words; "total" asks for those of all clients. */
#include <weir.hpp>

#include <atomic>
#include <cstdio>
#include <sstream>

int main(int argc, char **argv)
try {
	std::atomic<unsigned long> total(0);
	weir::config config;

	config.log = [](int, std::string_view line) {
		std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()),
			     line.data());
	};

	weir::service words = weir::readable([&](weir::conn &c) {
		std::string line;
		ssize_t n;

		while ((n = c.read_line(line)) > 0) {
			std::istringstream in(line);
			std::string word;
			unsigned long count = 0;

			if (line == "total\n") {
				count = total;
			} else {
				while (in >> word)
					count++;
				total += count;
			}
			weir::check(c.write(std::to_string(count) + "\n"));
		}
		return static_cast<int>(n);
	});
	words.options.idle_ms = 60000;

	weir::server server(std::move(config));
	server.listen(argc > 1 ? argv[1] : "127.0.0.1:1234", std::move(words));
	return server.run() == 0 ? 0 : 1;
} catch (const std::exception &e) {
	std::fprintf(stderr, "words: %s\n", e.what());
	return 1;
}
