import { useState } from "react";
import { words } from "../../ui/format";
import { useCarry } from "./carry";
import { useDraft } from "./draft";
import { drag } from "./drag";
import type { Block } from "./tree";

interface Kind {
	name: string;
	category: string;
	summary: string;
	parameters: readonly { name: string; required: boolean }[];
}

/** What required parameters begin with, so that a new block is seldom wrong. */
const FIRST_VALUE: Record<string, unknown> = { kernel_size: 3, out_channels: 16, out_features: 64, padding: 1 };

/** The kinds of blocks by category. A click, or Enter, adds one behind the selected block. One can drag it to its place, too. */
export function Kinds({ kinds }: { kinds: readonly Kind[] }) {
	const [sought, setSought] = useState("");
	const add = useDraft((draft) => draft.add);
	const carried = useCarry(({ block, from }) => (from === null ? block?.kind : undefined));
	const found = kinds.filter(({ name }) => name.toLowerCase().includes(sought.trim().toLowerCase()));
	const categories = [...new Set(found.map(({ category }) => category))];
	return (
		<section className="kinds" aria-labelledby="kinds">
			<h2 id="kinds">Blocks</h2>
			<input
				type="search"
				aria-label="Find a kind of block"
				placeholder="Find"
				value={sought}
				onChange={(event) => setSought(event.target.value)}
				onKeyDown={(event) => {
					const [first] = found;
					if (event.key === "Enter" && first) add([blockOf(first)]);
				}}
				data-filter
			/>
			{categories.map((category) => (
				<div key={category}>
					<h3>{words(category)}</h3>
					<ul>
						{found
							.filter((kind) => kind.category === category)
							.map((kind) => (
								<li key={kind.name}>
									<button
										type="button"
										className={carried === kind.name ? "carried" : undefined}
										title={kind.summary}
										onClick={() => add([blockOf(kind)])}
										onPointerDown={(event) => drag(event, blockOf(kind), null)}
									>
										{kind.name}
									</button>
								</li>
							))}
					</ul>
				</div>
			))}
		</section>
	);
}

function blockOf({ name, parameters }: Kind): Block {
	const required = parameters.filter(({ required, name }) => required && name in FIRST_VALUE);
	const values = Object.fromEntries(required.map(({ name }) => [name, FIRST_VALUE[name]]));
	return {
		kind: name,
		...(required.length > 0 ? { parameters: values } : {}),
		...(name === "Residual" ? { main: [] } : {}),
	};
}
