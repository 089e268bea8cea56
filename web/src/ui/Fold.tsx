import { type ReactNode, useState } from "react";

interface FoldProps {
	summary: ReactNode;
	className?: string | undefined;
	children: () => ReactNode;
}

/** What is seen when one opens it. It is not drawn before, because it may be much. */
export function Fold({ summary, className, children }: FoldProps) {
	const [isOpen, setOpen] = useState(false);
	return (
		<details className={className} onToggle={(event) => setOpen(event.currentTarget.open)}>
			<summary>{summary}</summary>
			{isOpen && children()}
		</details>
	);
}
