/** The screens that the bar, the palette and the keys lead to: address, name in the bar, what one does there, letter after `g`. */
export const SCREENS = [
	{ to: "/", name: "Library", purpose: "Library", letter: "l" },
	{ to: "/compare", name: "Compare", purpose: "Compare two versions", letter: "c" },
	{ to: "/build", name: "Build", purpose: "Build a network", letter: "b" },
	{ to: "/try", name: "Try", purpose: "Try an image", letter: "t" },
	{ to: "/ask", name: "Ask", purpose: "Ask with a file of activations", letter: "a" },
	{ to: "/datasets", name: "Data sets", purpose: "Data sets", letter: "d" },
	{ to: "/jobs", name: "Jobs", purpose: "Jobs", letter: "j" },
	{ to: "/settings", name: "Settings", purpose: "Settings", letter: "s" },
] as const;
