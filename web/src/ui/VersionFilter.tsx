import { useEffect, useId, useRef, useState } from "react";
import { useDocument } from "../api/queries";
import { graphql } from "../gql";

const SUGGESTIONS = graphql(`
	query VersionSuggestions($text: String!) {
		models(first: 20, filter: { nameContains: $text }, orderBy: { field: NAME }) {
			nodes {
				id
				name
			}
		}
	}
`);

/** How long the reader may pause while typing a name. Half a name is none, so it is longer than for other filters. */
const PAUSE_MILLISECONDS = 700;

interface VersionFilterProps {
	label: string;
	/** As people write it: `plain:1`, or `plain` for the latest version. */
	value: string;
	onChange: (name: string) => void;
}

/** Takes the name of a version, and suggests models. It applies on Enter, when a suggestion is chosen, or when the typing pauses. */
export function VersionFilter({ label, value, onChange }: VersionFilterProps) {
	const id = useId();
	const [typed, setTyped] = useState(value);
	const timer = useRef(0);
	const [model = ""] = typed.trim().split(":");
	const names = useDocument(SUGGESTIONS, { text: model }).data?.models.nodes.map(({ name }) => name) ?? [];
	useEffect(() => setTyped(value), [value]);
	useEffect(() => () => clearTimeout(timer.current), []);
	const apply = (text: string) => {
		clearTimeout(timer.current);
		if (text.trim() !== value) onChange(text.trim());
	};
	const type = (text: string) => {
		setTyped(text);
		clearTimeout(timer.current);
		if (names.includes(text)) apply(text);
		else timer.current = window.setTimeout(() => apply(text), PAUSE_MILLISECONDS);
	};
	return (
		<span>
			<label htmlFor={id}>{label}</label>
			<input
				id={id}
				value={typed}
				onChange={(event) => type(event.target.value)}
				onBlur={() => apply(typed)}
				onKeyDown={(event) => event.key === "Enter" && apply(typed)}
				data-filter
				autoComplete="off"
				placeholder="model:version"
				list={`${id}-names`}
			/>
			<datalist id={`${id}-names`}>
				{names.map((name) => (
					<option key={name} value={name} />
				))}
			</datalist>
		</span>
	);
}
