import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
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

interface Hit {
	key: string;
	name: string;
	about: string;
	go: () => Promise<void>;
}

/** Finds models and screens by their names. Arrows walk through them, and Enter opens one: the first, unless another was chosen. */
export default function Palette({ onClose }: { onClose: () => void }) {
	const [text, setText] = useState("");
	const [chosen, setChosen] = useState(0);
	const [isEntered, setEntered] = useState(false);
	const list = useId();
	const sought = text.trim();
	const navigate = useNavigate();
	const found = useDocument(FOUND, { text: sought });
	const isCurrent = !found.isPending && !found.isPlaceholderData;
	const models = (found.data?.models.nodes ?? []).map(({ id, name, best }) => ({
		key: id,
		name,
		about: `model${best ? `, ${percent(best.accuracy)}` : ""}`,
		go: () => navigate({ to: "/models/$model", params: { model: name } }),
	}));
	const screens = SCREENS.filter(({ purpose }) => purpose.toLowerCase().includes(sought.toLowerCase())).map(
		({ to, purpose }) => ({ key: to, name: purpose, about: "screen", go: () => navigate({ to }) }),
	);
	const hits: readonly Hit[] = [...models, ...screens];
	const current = Math.min(chosen, hits.length - 1);
	const hit = hits[current];
	const open = (hit: Hit | undefined) => {
		if (!hit) return;
		onClose();
		void hit.go();
	};
	// Who types fast presses Enter before the answer is there, and does not mean the hits of what was typed before.
	useEffect(() => {
		if (!isEntered || !isCurrent) return;
		setEntered(false);
		open(hit);
	});
	const type = (text: string) => {
		setText(text);
		setChosen(0);
		setEntered(false);
	};
	const press = (event: KeyboardEvent) => {
		const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
		if (step) {
			event.preventDefault();
			setChosen(Math.min(hits.length - 1, Math.max(0, current + step)));
		} else if (event.key === "Enter") {
			event.preventDefault();
			setEntered(true);
		}
	};
	return (
		<Dialog title="Find" onClose={onClose}>
			<input
				className="palette-input"
				role="combobox"
				aria-label="Name of a model or a screen"
				aria-expanded
				aria-controls={list}
				aria-activedescendant={hit && `${list}-${current}`}
				aria-autocomplete="list"
				placeholder="Name of a model or a screen"
				autoComplete="off"
				autoFocus
				value={text}
				onChange={(event) => type(event.target.value)}
				onKeyDown={press}
			/>
			<div id={list} role="listbox" aria-label="Found" className="palette-list">
				{hits.map((hit, index) => (
					<Option key={hit.key} id={`${list}-${index}`} hit={hit} isChosen={index === current} onOpen={open} />
				))}
			</div>
			<p role="status">{isCurrent && hits.length === 0 && "Nothing has this name."}</p>
			{found.error && <Problem error={found.error} />}
		</Dialog>
	);
}

interface OptionProps {
	id: string;
	hit: Hit;
	isChosen: boolean;
	onOpen: (hit: Hit) => void;
}

function Option({ id, hit, isChosen, onOpen }: OptionProps) {
	const place = useRef<HTMLDivElement>(null);
	useEffect(() => {
		if (isChosen) place.current?.scrollIntoView({ block: "nearest" });
	}, [isChosen]);
	return (
		// biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the focus and the keys
		<div ref={place} id={id} role="option" aria-selected={isChosen} tabIndex={-1} onClick={() => onOpen(hit)}>
			<bdi>{hit.name}</bdi>
			<span className="quiet">{hit.about}</span>
		</div>
	);
}
