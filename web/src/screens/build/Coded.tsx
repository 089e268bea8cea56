/** A text of the server, with the names that stand between backticks as code. */
export function Coded({ children }: { children: string }) {
	return children.split("`").map((part, index) =>
		// biome-ignore lint/suspicious/noArrayIndexKey: a part is known by its place
		index % 2 === 1 ? <code key={index}>{part}</code> : part,
	);
}
