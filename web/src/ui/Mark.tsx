import { useMarks } from "../marks";
import type { Column } from "./columns";
import "./Mark.css";

interface Marked {
	model: string;
	number: number;
}

/** Marks a version for comparison. The key `c` does the same for the version of the current row, or else of the screen. */
export function Mark({ model, number, isTextShown = false }: Marked & { isTextShown?: boolean }) {
	const name = `${model}:${number}`;
	const isMarked = useMarks(({ names }) => names.includes(name));
	const toggle = useMarks((marks) => marks.toggle);
	return (
		<label className="mark" title="Mark for comparison (c)">
			<input type="checkbox" data-mark checked={isMarked} onChange={() => toggle(name)} />
			{isTextShown ? " Mark for comparison" : <span className="visually-hidden">Mark {name} for comparison</span>}
		</label>
	);
}

/** A column with a mark for the version that each row means, if it means one. */
export function markColumn<Row>(marked: (row: Row) => Marked | null): Column<Row> {
	return {
		name: "Mark",
		hint: "Mark two versions to compare them",
		width: "5rem",
		cell: (row) => {
			const version = marked(row);
			return version && <Mark {...version} />;
		},
	};
}
