import "./Tags.css";

/** Tags of a model. */
export function Tags({ tags }: { tags: readonly string[] }) {
	return tags.map((tag) => (
		<bdi key={tag} className="tag">
			{tag}
		</bdi>
	));
}
