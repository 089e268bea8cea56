import { Link } from "@tanstack/react-router";
import { Title } from "../ui/Title";

/** For addresses that lead nowhere. */
export function NoSuchPage() {
	return (
		<>
			<Title>There is nothing at this address</Title>
			<p>
				Check its spelling, or start from the <Link to="/">library</Link>.
			</p>
		</>
	);
}

/** For names that nothing has, or nothing that the reader may see. */
export function NotFound({ children }: { children: string }) {
	return (
		<>
			<Title>{children}</Title>
			<p>
				It may have been deleted or renamed, or it may be private to somebody else. The <Link to="/">library</Link>{" "}
				lists what you can see.
			</p>
		</>
	);
}
