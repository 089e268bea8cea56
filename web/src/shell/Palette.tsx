import { useNavigate } from "@tanstack/react-router";
import { useDeferredValue, useState } from "react";
import { Autocomplete, Input, Menu, MenuItem, SearchField } from "react-aria-components";
import { useDocument } from "../api/queries";
import { graphql } from "../gql";
import { Dialog } from "../ui/Dialog";
import { percent } from "../ui/format";
import { Problem } from "../ui/Problem";
import { SCREENS } from "./screens";
import "./Palette.css";

const FOUND = graphql(`
	query Palette($text: String!) {
		models(first: 12, filter: { nameContains: $text }, orderBy: { field: NAME }) {
			nodes {
				id
				name
				best: version(alias: "best") {
					number
					accuracy
				}
			}
		}
	}
`);

/** Finds models and screens by their names. */
export default function Palette({ onClose }: { onClose: () => void }) {
	const [text, setText] = useState("");
	const sought = useDeferredValue(text.trim());
	const navigate = useNavigate();
	const found = useDocument(FOUND, { text: sought });
	const screens = SCREENS.filter(({ purpose }) => purpose.toLowerCase().includes(sought.toLowerCase()));
	const open = (go: () => Promise<void>) => {
		onClose();
		void go();
	};
	return (
		<Dialog title="Find" onClose={onClose}>
			<Autocomplete inputValue={text} onInputChange={setText}>
				<SearchField aria-label="Name of a model or a screen" autoFocus>
					<Input placeholder="Name of a model or a screen" className="palette-input" />
				</SearchField>
				<Menu aria-label="Found" className="palette-list" renderEmptyState={() => "Nothing has this name."}>
					{(found.data?.models.nodes ?? []).map(({ id, name, best }) => (
						<MenuItem
							key={id}
							textValue={name}
							onAction={() => open(() => navigate({ to: "/models/$model", params: { model: name } }))}
						>
							<bdi>{name}</bdi>
							<span className="quiet">model{best && `, ${percent(best.accuracy)}`}</span>
						</MenuItem>
					))}
					{screens.map(({ purpose, to }) => (
						<MenuItem key={to} textValue={purpose} onAction={() => open(() => navigate({ to }))}>
							{purpose}
							<span className="quiet">screen</span>
						</MenuItem>
					))}
				</Menu>
			</Autocomplete>
			{found.error && <Problem error={found.error} />}
		</Dialog>
	);
}
