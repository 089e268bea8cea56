import { memo, type ReactNode } from "react";

/** A column of a table. */
export interface Column<Row> {
	name: string;
	/** What it means, where the name alone does not say it. */
	hint?: string;
	/** Whether only screen readers say its name. */
	isNameHidden?: boolean;
	/** Whether it holds numbers, which stand at the end of the cell. */
	isNumber?: boolean;
	/** How important it is where there is little room: 1 always stays, 2 and 3 are left out in narrow windows. */
	rank?: 1 | 2 | 3;
	/** The width as CSS writes it; without one, what is left. */
	width?: string;
	cell: (row: Row) => ReactNode;
}

/** The cells with the names of the columns. */
export function Heads<Row>({ columns }: { columns: readonly Column<Row>[] }) {
	return columns.map((column) => (
		<th key={column.name} scope="col" style={{ width: column.width }} className={classes(column)}>
			<Name {...column} />
		</th>
	));
}

function Name<Row>({ name, hint, isNameHidden }: Column<Row>) {
	if (hint) return <abbr title={hint}>{name}</abbr>;
	return isNameHidden ? <span className="visually-hidden">{name}</span> : name;
}

/** The cells of a row, drawn again only if it or the columns change: while one scrolls, most rows stay. */
export const Cells = memo(AllCells) as typeof AllCells;

function AllCells<Row>({ columns, row }: { columns: readonly Column<Row>[]; row: Row }): ReactNode {
	return columns.map((column) => (
		<td key={column.name} className={classes(column)}>
			{column.cell(row)}
		</td>
	));
}

function classes<Row>(column: Column<Row>): string {
	return `${column.isNumber ? "number" : ""} rank-${column.rank ?? 1}`;
}
