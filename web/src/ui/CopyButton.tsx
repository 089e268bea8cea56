import { useState } from "react";

/** Copies a text. Throws an error for people if the browser does not let the page, as where the page came over plain HTTP. */
export async function copyText(text: string) {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		throw new Error("The browser does not let the page use the clipboard.");
	}
}

/** Copies a text that is on the screen, and says so. */
export function CopyButton({ text }: { text: string }) {
	const [said, setSaid] = useState({ text, words: "" });
	const copy = () =>
		copyText(text).then(
			() => setSaid({ text, words: "Copied." }),
			({ message }: Error) => setSaid({ text, words: `${message} Select the text and press Ctrl C.` }),
		);
	return (
		<>
			<button type="button" onClick={() => void copy()}>
				Copy
			</button>{" "}
			<span role="status" className="quiet">
				{said.text === text && said.words}
			</span>
		</>
	);
}
